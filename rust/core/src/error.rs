//! Everything that can go wrong in the core: one variant for each cause, named by whose fault it is.
//!
//! A variant carries what a person needs to act: the path, the limit, the operation. The binding
//! maps each variant to one Python exception and adds nothing.

use std::path::PathBuf;

/// The result of the core, unless another error is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One variant for each cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that could leave its root, or that two systems would read differently.
    #[error("the path {path:?} is refused: {why}")]
    BadPath {
        /// The name as it came.
        path: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A row of the files table that cannot work.
    #[error("the files table's folder {folder:?} is refused: {why}")]
    BadRule {
        /// The folder key as it came.
        folder: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Bytes of a peer that are not what the protocol says.
    #[error("{what} cannot be read: {why}")]
    BadData {
        /// What was being read, e.g. "the container".
        what: &'static str,
        /// Why it cannot be.
        why: String,
    },
    /// Content that does not have the digest its entry states.
    #[error("the content of {path} does not match the hash in its entry; nothing was changed")]
    Mismatch {
        /// Path inside the tree.
        path: String,
    },
    /// A file of this tree that is not what its manifest says.
    #[error("{path} is not what this node last saw there; nothing was changed: look at the tree again and ask anew")]
    Drifted {
        /// Path inside the tree.
        path: String,
    },
    /// A limit that the settings set.
    #[error("{what} is over the limit of {limit}{}", named(setting))]
    Limit {
        /// What is too large, e.g. "the unpacked size of etc/rules/a.xml".
        what: String,
        /// The limit, in the unit of `what`.
        limit: u64,
        /// The name under which a person sets the limit; empty if nobody can.
        setting: &'static str,
    },
    /// The tree on disk stands in the way of the plan.
    #[error("{path}: {why}; nothing was changed")]
    Conflict {
        /// Path inside the tree.
        path: String,
        /// What stands in the way, and what to do.
        why: String,
    },
    /// A step that nobody has confirmed takes too much away.
    #[error("the step would delete {deleted} of {held} files here; it waits for: outrider approve")]
    HeldBack {
        /// Files that would go.
        deleted: usize,
        /// Files that the tree holds.
        held: usize,
    },
    /// Whoever watched the scan has ended it.
    #[error("the look at the tree was ended before its time")]
    Stopped,
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb, e.g. "open".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Binds a system error to the action and the path it happened on; for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// How a setting is told behind a limit.
fn named(setting: &str) -> String {
    if setting.is_empty() { String::new() } else { format!(" ({setting})") }
}
