//! What must change at the far end: three groups of entries, readable by people and by programs.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;

use unicode_normalization::UnicodeNormalization;

use crate::{Entry, Error, RelPath, Result};

/// What must change at the far end so that its tree equals ours (specification 4.5).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Files that the far end does not have; entries of the source.
    pub missing: Vec<Entry>,
    /// Files that differ; entries of the source.
    pub shared: Vec<Entry>,
    /// Files that only the far end has; its own entries.
    pub extra: Vec<Entry>,
}

impl Plan {
    /// Whether nothing must change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.shared.is_empty() && self.extra.is_empty()
    }

    /// The files that will be written: missing, then shared.
    pub fn written(&self) -> impl Iterator<Item = &Entry> {
        self.missing.iter().chain(&self.shared)
    }

    /// For programs: the counts, and the paths of each group.
    #[must_use]
    pub fn to_json(&self) -> String {
        let paths = |group: &[Entry]| group.iter().map(|entry| entry.path.as_str().to_owned()).collect::<Vec<_>>();
        serde_json::json!({
            "counts": {"missing": self.missing.len(), "shared": self.shared.len(), "extra": self.extra.len()},
            "missing": paths(&self.missing),
            "shared": paths(&self.shared),
            "extra": paths(&self.extra),
        })
        .to_string()
    }
}

impl fmt::Display for Plan {
    /// For people: the counts, then a line for each file: `+` missing, `~` shared, `-` extra.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, shared, extra) = (self.missing.len(), self.shared.len(), self.extra.len());
        write!(f, "{missing} missing, {shared} shared, {extra} extra")?;
        for (sign, group) in [('+', &self.missing), ('~', &self.shared), ('-', &self.extra)] {
            for entry in group {
                write!(f, "\n{sign} {}", Printable(&entry.path))?;
            }
        }
        Ok(())
    }
}

/// A path without control characters: a file name must not drive somebody's terminal.
pub(crate) struct Printable<'a>(pub(crate) &'a RelPath);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_str().chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => write!(f, "{c}"),
        })
    }
}

/// Refuses paths that are one name on some system: equal, or equal after NFC and lower-casing.
///
/// Compares digests of the folded names first, so that 100,000 paths need no second copy of them.
///
/// # Errors
/// [`Error::BadPath`] names the second of the two.
pub(crate) fn refuse_twins<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Result<()> {
    let hasher = RandomState::new();
    let mut folded: Vec<(u64, &RelPath)> = paths.map(|path| (hasher.hash_one(fold(path.as_str())), path)).collect();
    folded.sort_unstable();
    for pair in folded.windows(2) {
        let [(one_hash, one), (two_hash, two)] = pair else { continue };
        if one_hash == two_hash && fold(one.as_str()) == fold(two.as_str()) {
            let why = if one == two { "it stands there twice" } else { "another path differs only in case or form" };
            return Err(Error::BadPath { path: two.as_str().to_owned(), why });
        }
    }
    Ok(())
}

/// The name as a system would see it that knows neither case nor Unicode form.
pub(crate) fn fold(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    path.nfc().flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn entry(path: &str) -> Entry {
        Entry { path: RelPath::new(path).unwrap(), digest: Digest::of(b""), mod_time: 0.0, rule: "a/".into() }
    }

    #[test]
    fn a_plan_prints_for_people_and_for_programs() {
        let plan =
            Plan { missing: vec![entry("a/new")], shared: vec![entry("a/\u{1b}[2J")], extra: vec![entry("a/old")] };
        assert_eq!(plan.to_string(), "1 missing, 1 shared, 1 extra\n+ a/new\n~ a/\\u{1b}[2J\n- a/old");
        let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
        assert_eq!(json["counts"]["extra"], 1);
        assert_eq!(json["missing"][0], "a/new");
        assert!(!plan.is_empty() && Plan::default().is_empty());
    }

    #[test]
    fn threat_24_twins_by_case_or_form_are_refused() {
        let refused = |one: &str, two: &str| {
            let paths = [one, "m", two].map(|path| RelPath::new(path).unwrap());
            refuse_twins(paths.iter()).is_err()
        };
        assert!(refused("a/README", "a/readme"));
        assert!(refused("a/\u{e9}", "a/e\u{301}"));
        assert!(refused("a/\u{c9}", "a/e\u{301}"));
        assert!(refused("a/b", "a/b"));
        assert!(!refused("a/b", "a/c"));
        assert!(!refused("a/e", "a/\u{e9}"));
    }
}
