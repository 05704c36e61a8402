//! Path to entry: what a tree holds, without its content.

use std::sync::Arc;

use crate::{Digest, RelPath};

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

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

impl Manifest {
    /// The entries, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl From<Vec<Entry>> for Manifest {
    fn from(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        Self { entries }
    }
}
