//! A generation's record: its manifest whole, or as what changed since the generation before.
//!
//! Both are compressed as the native form is. Changes are the paths that are gone, then the entries that
//! are new or different.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use crate::manifest_native::{Input, compressed, finish, read_paths, read_whole, write_paths, write_whole};
use crate::{Entry, Manifest, RelPath, Result};

/// What brings a manifest to the next.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) gone: Vec<RelPath>,
    pub(super) now: Vec<Entry>,
}

impl Changes {
    pub(super) fn between(old: &Manifest, new: &Manifest) -> Self {
        let (mut old, mut new) = (old.entries().iter().peekable(), new.entries().iter().peekable());
        let mut changes = Self::default();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(&new.path),
            };
            let before = if order.is_le() { old.next() } else { None };
            let now = if order.is_ge() { new.next() } else { None };
            match (before, now) {
                (Some(before), None) => changes.gone.push(before.path.clone()),
                (before, Some(now)) if before != Some(now) => changes.now.push(now.clone()),
                _ => {}
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.gone.len() + self.now.len()
    }

    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let (mut out, none) = (compressed(out)?, Arc::from(""));
        write_paths(self.gone.iter().map(|path| (path, &none)), &mut out)?;
        write_whole(&self.now, &mut out)?;
        finish(out)
    }

    /// Of bytes that we wrote ourselves: their checksum was right, so there is no budget.
    pub(crate) fn read(record: &[u8]) -> Result<Self> {
        let (mut input, mut gone) = (Input::new(record, u64::MAX)?, Vec::new());
        read_paths(&mut input, 0, |path, _| gone.push(path))?;
        let now = read_whole(&mut input)?;
        input.end()?;
        Ok(Self { gone, now })
    }
}

/// The manifest that a whole one and the changes since, oldest first, lead to.
pub(super) fn rebuilt(whole: &Manifest, changes: impl Iterator<Item = Changes>) -> Manifest {
    let mut last: BTreeMap<RelPath, Option<Entry>> = BTreeMap::new();
    for Changes { gone, now } in changes {
        last.extend(gone.into_iter().map(|path| (path, None)));
        last.extend(now.into_iter().map(|entry| (entry.path.clone(), Some(entry))));
    }
    let mut entries = Vec::with_capacity(whole.entries().len() + last.len());
    let mut last = last.into_iter().peekable();
    for entry in whole.entries() {
        while let Some((_, now)) = last.next_if(|(path, _)| *path < entry.path) {
            entries.extend(now);
        }
        match last.next_if(|(path, _)| *path == entry.path) {
            Some((_, now)) => entries.extend(now),
            None => entries.push(entry.clone()),
        }
    }
    entries.extend(last.filter_map(|(_, now)| now));
    Manifest::of_sorted(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Digest;

    fn manifests() -> impl Strategy<Value = Vec<Manifest>> {
        let files = proptest::collection::btree_map("[abé]{1,2}(/[ab]){0,2}", (0u8..4, 0u8..2), 0..12);
        let manifest = files.prop_map(|files| {
            let entry = |(path, (content, time)): (String, (u8, u8))| Entry {
                path: RelPath::new(&path).unwrap(),
                digest: Digest::of(&[content]),
                mod_time: f64::from(time),
                rule: "a/".into(),
            };
            Manifest::from(files.into_iter().map(entry).collect::<Vec<_>>())
        });
        proptest::collection::vec(manifest, 1..6)
    }

    proptest! {
        #[test]
        fn changes_lead_from_any_manifest_to_any_other(manifests in manifests()) {
            let changes: Vec<Changes> = manifests.windows(2).map(|pair| Changes::between(&pair[0], &pair[1])).collect();
            let read = changes.iter().map(|changes| {
                let mut record = Vec::new();
                changes.write(&mut record).unwrap();
                Changes::read(&record).unwrap()
            });
            let made = rebuilt(&manifests[0], read);
            prop_assert_eq!(Some(&made), manifests.last());
            prop_assert_eq!(Changes::between(&made, &made).count(), 0);
        }
    }
}
