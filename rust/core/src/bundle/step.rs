//! Two manifests become a step: what is done to a tree that stands at the one so that it stands at the other.
//!
//! Pure, and the same for the same values; which contents can be had is asked when the step is packed.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::Contents;
use crate::chunk::Signatures;
use crate::plan::Printable;
use crate::{Digest, Entry, FilesTable, Manifest, RelPath, Result, ShortEntry, ShortManifest};

/// What happens to one path.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A file that the base does not have.
    New(Entry),
    /// A file that the base has with another content: the new entry, and that content's as far as it is known.
    Patch(Entry, Option<Entry>),
    /// A file whose content the base has at this path: a rename, or a copy.
    Copy(Entry, RelPath),
    /// A file that goes.
    Delete(RelPath),
    /// A file that only the base has and that stays: its rule says so, or the source could not look there.
    Keep(RelPath),
}

impl Op {
    /// The path that it is about.
    #[must_use]
    pub fn path(&self) -> &RelPath {
        match self {
            Self::New(entry) | Self::Patch(entry, _) | Self::Copy(entry, _) => &entry.path,
            Self::Delete(path) | Self::Keep(path) => path,
        }
    }
}

/// What brings a tree from one manifest to another.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) from: Digest,
    pub(super) to: Digest,
    pub(super) ops: Vec<Op>,
    pub(super) signatures: Arc<Signatures>,
    base_files: usize,
}

/// How often each kind of change stands in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Files that the base does not have.
    pub new: usize,
    /// Files that change.
    pub patched: usize,
    /// Files whose content the base has elsewhere.
    pub copied: usize,
    /// Files that go.
    pub deleted: usize,
    /// Files that only the base has and that stay.
    pub kept: usize,
}

/// A file of a base, whose digest may be known only in part.
pub(crate) trait BaseFile {
    fn path(&self) -> &RelPath;
    fn rule(&self) -> &str;
    fn short(&self) -> [u8; 16];
    fn whole(&self) -> Option<&Entry>;
}

impl BaseFile for Entry {
    fn path(&self) -> &RelPath {
        &self.path
    }

    fn rule(&self) -> &str {
        &self.rule
    }

    fn short(&self) -> [u8; 16] {
        short(&self.digest)
    }

    fn whole(&self) -> Option<&Entry> {
        Some(self)
    }
}

impl BaseFile for ShortEntry {
    fn path(&self) -> &RelPath {
        &self.path
    }

    fn rule(&self) -> &str {
        &self.rule
    }

    fn short(&self) -> [u8; 16] {
        self.digest.0
    }

    fn whole(&self) -> Option<&Entry> {
        None
    }
}

impl Step {
    /// From a manifest that is known as a whole.
    ///
    /// Files that only the base has stay where their rule has `extra_valid`, and where `unseen` says that the
    /// source could not look (as [`crate::keep_unseen`]).
    #[must_use]
    pub fn new(from: &Manifest, to: &Manifest, table: &FilesTable, unseen: &[String]) -> Self {
        Self::between(from.root(), from.entries(), to, table, unseen)
    }

    /// From what a receiver reports of a tree whose root, `from`, nobody here knows.
    ///
    /// Digests are known in part; what is wrongly taken for equal shows in the root of the result.
    #[must_use]
    pub fn against(
        from: Digest,
        reported: &ShortManifest,
        to: &Manifest,
        table: &FilesTable,
        unseen: &[String],
    ) -> Self {
        Self::between(from, reported.entries(), to, table, unseen)
    }

    /// The changed files whose old version is not known here and that are large: their chunks would spare much.
    ///
    /// # Errors
    /// What `new`, where the new versions are read, runs into.
    pub fn wanted(&self, new: &dyn Contents) -> Result<Vec<&RelPath>> {
        let mut wanted = Vec::new();
        for op in &self.ops {
            if let Op::Patch(entry, None) = op
                && new.size(entry)?.is_some_and(|size| size >= crate::chunk::WORTH)
            {
                wanted.push(&entry.path);
            }
        }
        Ok(wanted)
    }

    /// Adds what is known of contents that are not kept here: chunks of the receiver's files, as it reported them.
    #[must_use]
    pub fn with_signatures(self, signatures: Signatures) -> Self {
        Self { signatures: Arc::new(signatures), ..self }
    }

    pub(crate) fn between<B: BaseFile>(
        from: Digest,
        base: &[B],
        to: &Manifest,
        table: &FilesTable,
        unseen: &[String],
    ) -> Self {
        let stays = Stays { table, unseen: unseen.iter().map(String::as_str).collect() };
        let mut ops = merge(base, to.entries(), &stays);
        find_copies(&mut ops, base);
        Self { from, to: to.root(), ops, signatures: Arc::default(), base_files: base.len() }
    }

    /// The root that the receiver stands at.
    #[must_use]
    pub fn base_root(&self) -> Digest {
        self.from
    }

    /// The root that it stands at afterwards; files that are kept do not count.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.to
    }

    /// All changes, sorted by path.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// How often each kind stands there.
    #[must_use]
    pub fn counts(&self) -> StepCounts {
        let mut counts = StepCounts::default();
        for op in &self.ops {
            *match op {
                Op::New(_) => &mut counts.new,
                Op::Patch(..) => &mut counts.patched,
                Op::Copy(..) => &mut counts.copied,
                Op::Delete(_) => &mut counts.deleted,
                Op::Keep(_) => &mut counts.kept,
            } += 1;
        }
        counts
    }

    /// The part of the base's files that goes, 0 to 1 (threat 31).
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a fraction for a threshold")]
    pub fn deleted_fraction(&self) -> f64 {
        self.counts().deleted as f64 / self.base_files.max(1) as f64
    }
}

impl fmt::Display for Step {
    /// For people: the counts, then a line for each file: `+` new, `~` patched, `=` copied, `-` deleted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StepCounts { new, patched, copied, deleted, .. } = self.counts();
        write!(f, "{new} new, {patched} patched, {copied} copied, {deleted} deleted")?;
        self.ops.iter().try_for_each(|op| match op {
            Op::New(entry) => write!(f, "\n+ {}", Printable(&entry.path)),
            Op::Patch(entry, _) => write!(f, "\n~ {}", Printable(&entry.path)),
            Op::Copy(entry, from) => write!(f, "\n= {} from {}", Printable(&entry.path), Printable(from)),
            Op::Delete(path) => write!(f, "\n- {}", Printable(path)),
            Op::Keep(_) => Ok(()),
        })
    }
}

/// What stays although the source does not have it.
struct Stays<'a> {
    table: &'a FilesTable,
    unseen: HashSet<&'a str>,
}

impl Stays<'_> {
    fn op(&self, file: &impl BaseFile) -> Op {
        let path = file.path();
        let extra_valid = self.table.rule(file.rule()).is_some_and(|rule| rule.extra_valid);
        let above = || path.as_str().match_indices('/').any(|(end, _)| self.unseen.contains(&path.as_str()[..end]));
        let unseen = || !self.unseen.is_empty() && (self.unseen.contains(path.as_str()) || above());
        if extra_valid || unseen() { Op::Keep(path.clone()) } else { Op::Delete(path.clone()) }
    }
}

fn merge<B: BaseFile>(mut base: &[B], mut to: &[Entry], stays: &Stays<'_>) -> Vec<Op> {
    let mut ops = Vec::new();
    loop {
        let order = match (base.first(), to.first()) {
            (Some(old), Some(new)) => old.path().cmp(&new.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return ops,
        };
        match order {
            Ordering::Less => ops.push(stays.op(&base[0])),
            Ordering::Greater => ops.push(Op::New(to[0].clone())),
            Ordering::Equal if base[0].short() != short(&to[0].digest) => {
                ops.push(Op::Patch(to[0].clone(), base[0].whole().cloned()));
            }
            Ordering::Equal => {}
        }
        base = &base[usize::from(order.is_le())..];
        to = &to[usize::from(order.is_ge())..];
    }
}

/// Turns into copies what the base has elsewhere. Only what is looked for is remembered: changes are few, files many.
fn find_copies<B: BaseFile>(ops: &mut [Op], base: &[B]) {
    let mut wanted: HashMap<[u8; 16], Option<&RelPath>> =
        ops.iter().filter_map(arrives).map(|key| (key, None)).collect();
    // Of no bytes there is nothing to copy.
    wanted.remove(&short(&Digest::of(b"")));
    if wanted.is_empty() {
        return;
    }
    for file in base {
        if let Some(found) = wanted.get_mut(&file.short()) {
            found.get_or_insert(file.path());
        }
    }
    for op in ops {
        let Some(Some(source)) = arrives(op).and_then(|key| wanted.get(&key)) else { continue };
        if let Op::New(entry) | Op::Patch(entry, _) = op {
            *op = Op::Copy(entry.clone(), (*source).clone());
        }
    }
}

fn arrives(op: &Op) -> Option<[u8; 16]> {
    match op {
        Op::New(entry) | Op::Patch(entry, _) => Some(short(&entry.digest)),
        _ => None,
    }
}

/// Enough of a digest to tell contents apart that nobody built to agree; the root has the last word.
fn short(digest: &Digest) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&digest.0[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileRule;

    fn rule(folder: &str, extra_valid: bool) -> FileRule {
        FileRule {
            folder: folder.into(),
            names: None,
            recursive: true,
            permissions: 0o660,
            remove_subdirs_if_empty: false,
            extra_valid,
        }
    }

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let entry = |(path, content): &(&str, &str)| Entry {
            path: RelPath::new(path).unwrap(),
            digest: Digest::of(content.as_bytes()),
            mod_time: 0.0,
            rule: format!("{}/", path.split('/').next().unwrap()).into(),
        };
        files.iter().map(entry).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_step_finds_each_kind_of_change_and_prints() {
        let table = FilesTable { rules: vec![rule("a/", false), rule("k/", true)], ..FilesTable::default() };
        let from =
            manifest(&[("a/gone", "1"), ("a/was", "2"), ("a/x", "3"), ("a/y/z", "4"), ("a/same", "5"), ("k/e", "6")]);
        let to = manifest(&[("a/is", "2"), ("a/x", "3b"), ("a/new", "7"), ("a/same", "5"), ("a/empty", "")]);
        let step = Step::new(&from, &to, &table, &["a/y".to_owned()]);
        let counts = StepCounts { new: 2, patched: 1, copied: 1, deleted: 2, kept: 2 };
        assert_eq!(step.counts(), counts);
        assert!((step.deleted_fraction() - 2.0 / 6.0).abs() < 1e-9);
        assert_eq!((step.base_root(), step.root()), (from.root(), to.root()));
        let text =
            "2 new, 1 patched, 1 copied, 2 deleted\n+ a/empty\n- a/gone\n= a/is from a/was\n+ a/new\n- a/was\n~ a/x";
        assert_eq!(step.to_string(), text);
        assert!(step.ops().is_sorted_by(|a, b| a.path() < b.path()));
        assert!(Step::new(&to, &to, &table, &[]).ops().is_empty());
    }
}
