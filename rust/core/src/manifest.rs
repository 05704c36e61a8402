//! Path to entry: what a tree holds, without its content, and one root over it all.
//!
//! The root is a tree of digests. A file's digest is the plain BLAKE2b-512 of its content. A folder's
//! digest is the BLAKE2b-512, personalised with `outrider.folder1`, of one record for each child, in
//! the order of their paths (a folder counts with its trailing slash):
//!
//! ```text
//! kind     1 byte    f for a file, d for a folder
//! length   2 bytes   of the name, little-endian
//! name     UTF-8, without slashes
//! digest   64 bytes  of the child
//! ```
//!
//! The personalisation makes a different function of it, so no file's content can pose as a folder;
//! the length keeps records from running into one another. The root is the digest of the folder that
//! is the home; an empty tree has the digest of no records. Times and rules do not take part.

use std::sync::{Arc, OnceLock};

use blake2b_simd::{Params, State};

use crate::{Digest, FilesTable, RelPath};

const FOLDER: &[u8; 16] = b"outrider.folder1";
const PART: usize = 16 * 1024;

/// One file of a tree, as the wire's metadata describes it (specification 4.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Path below the home.
    pub path: RelPath,
    /// Plain BLAKE2b-512 of the content.
    pub digest: Digest,
    /// Modification time in seconds, with a fraction.
    pub mod_time: f64,
    /// The folder key of its rule, the wire's `cluster_item_key`.
    pub rule: Arc<str>,
}

/// The entries of one tree, sorted by path, each path once.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
    root: OnceLock<Digest>,
}

impl Manifest {
    /// Of entries that are sorted by path already, each path once.
    pub(crate) fn of_sorted(entries: Vec<Entry>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.path < b.path), "a manifest out of order");
        Self { entries, root: OnceLock::new() }
    }

    /// The entries, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this path, if the tree holds it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// This without the files that are a node's own: of a rule with `extra_valid`, and not in what was `agreed`.
    #[must_use]
    pub fn without_own(&self, table: &FilesTable, agreed: &Self) -> Self {
        let own = |entry: &Entry| {
            table.rule(&entry.rule).is_some_and(|rule| rule.extra_valid) && agreed.get(entry.path.as_str()).is_none()
        };
        Self::of_sorted(self.entries.iter().filter(|entry| !own(entry)).cloned().collect())
    }

    /// The root of the digest tree; equal roots mean equal paths and contents. Computed once.
    #[must_use]
    pub fn root(&self) -> Digest {
        *self.root.get_or_init(|| root_of(&self.entries))
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl From<Vec<Entry>> for Manifest {
    /// Sorts; of entries with the same path one is kept.
    fn from(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        Self::of_sorted(entries)
    }
}

/// A folder whose children are still coming.
struct Open<'a> {
    name: &'a str,
    state: State,
    /// Records on their way into the state, which takes few large parts faster than many small ones.
    records: Vec<u8>,
}

impl<'a> Open<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, state: Params::new().personal(FOLDER).to_state(), records: Vec::new() }
    }

    fn add(&mut self, kind: u8, name: &str, digest: Digest) {
        // A component of a RelPath has at most 255 bytes, so its length always fits.
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.records.extend_from_slice(&[kind, length[0], length[1]]);
        self.records.extend_from_slice(name.as_bytes());
        self.records.extend_from_slice(&digest.0);
        if self.records.len() > PART {
            self.state.update(&self.records);
            self.records.clear();
        }
    }

    fn digest(mut self) -> Digest {
        Digest(*self.state.update(&self.records).finalize().as_array())
    }
}

/// Sorted paths visit each folder once and without a break, so one pass with a stack is enough.
fn root_of(entries: &[Entry]) -> Digest {
    let mut home = Open::new("");
    let mut stack: Vec<Open<'_>> = Vec::new();
    for entry in entries {
        let folder = entry.path.folder();
        let common = stack.iter().zip(components(folder)).take_while(|(open, name)| open.name == *name).count();
        close_down_to(common, &mut stack, &mut home);
        stack.extend(components(folder).skip(common).map(Open::new));
        stack.last_mut().unwrap_or(&mut home).add(b'f', entry.path.name(), entry.digest);
    }
    close_down_to(0, &mut stack, &mut home);
    home.digest()
}

fn components(folder: &str) -> impl Iterator<Item = &str> {
    folder.split('/').filter(|name| !name.is_empty())
}

fn close_down_to<'a>(depth: usize, stack: &mut Vec<Open<'a>>, home: &mut Open<'a>) {
    while stack.len() > depth
        && let Some(done) = stack.pop()
    {
        stack.last_mut().unwrap_or(home).add(b'd', done.name, done.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> Manifest {
        let entry = |(path, content): &(&str, &[u8])| Entry {
            path: RelPath::new(path).unwrap(),
            digest: Digest::of(content),
            mod_time: 0.0,
            rule: "a/".into(),
        };
        files.iter().map(entry).collect::<Vec<_>>().into()
    }

    fn folder(records: &[(u8, &str, Digest)]) -> Digest {
        let mut text = Vec::new();
        for (kind, name, digest) in records {
            text.extend([*kind, u8::try_from(name.len()).unwrap(), 0]);
            text.extend(name.as_bytes());
            text.extend(digest.0);
        }
        Digest(*Params::new().personal(FOLDER).hash(&text).as_array())
    }

    #[test]
    fn the_root_is_the_tree_that_the_documentation_draws() {
        let found = tree(&[("a/x", b"1"), ("a!", b"2"), ("a/b/y", b"3"), ("c", b"4")]).root();
        let inner = folder(&[(b'f', "y", Digest::of(b"3"))]);
        let a = folder(&[(b'd', "b", inner), (b'f', "x", Digest::of(b"1"))]);
        assert_eq!(found, folder(&[(b'f', "a!", Digest::of(b"2")), (b'd', "a", a), (b'f', "c", Digest::of(b"4"))]));
    }

    #[test]
    fn an_empty_tree_has_a_root_that_no_content_has() {
        assert_eq!(Manifest::default().root(), folder(&[]));
        assert_ne!(Manifest::default().root(), Digest::of(b""));
    }

    #[test]
    fn the_root_changes_with_a_path_a_folder_or_a_content() {
        let root = |path: &str, content: &[u8]| tree(&[(path, content), ("z", b"")]).root();
        let base = root("a/b", b"1");
        for other in [root("a/c", b"1"), root("ab", b"1"), root("a/b", b"2"), root("b", b"1"), root("a/b/c", b"1")] {
            assert_ne!(other, base);
        }
        assert_eq!(tree(&[("z", b""), ("a/b", b"1")]).root(), base);
    }

    #[test]
    fn a_path_is_found_by_name() {
        let tree = tree(&[("a", b"1"), ("b/c", b"2")]);
        assert_eq!(tree.get("b/c").map(|entry| entry.digest), Some(Digest::of(b"2")));
        assert!(tree.get("b").is_none());
    }
}
