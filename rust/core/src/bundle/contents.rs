//! Where the content of a manifest's entry can be read: the tree itself, or a store of what it was.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::beneath::Home;
use crate::{Entry, Error, FilesTable, Result};

/// A source of contents, by entry; several threads may ask at once.
pub trait Contents: Send + Sync {
    /// The content of `entry`, or `None` if it is not kept.
    ///
    /// The reader may yield other bytes than the entry promises (a file that changes): who reads verifies.
    ///
    /// # Errors
    /// [`Error::Conflict`] or [`Error::Io`] if there is something and it cannot be read.
    fn open(&self, entry: &Entry) -> Result<Option<Box<dyn Read + Send>>>;

    /// The size of that content in bytes, or `None` if it is not kept.
    ///
    /// # Errors
    /// As [`Contents::open`].
    fn size(&self, entry: &Entry) -> Result<Option<u64>>;
}

/// The contents of a tree as it lies on disk now, each file opened beneath the home (threats 25, 26).
pub struct TreeContents {
    home: Home,
    table: Arc<FilesTable>,
}

impl TreeContents {
    /// Of the tree at `home`; `table` says whether links may be followed.
    ///
    /// # Errors
    /// [`Error::Io`] if the home cannot be opened.
    pub fn new(home: &Path, table: Arc<FilesTable>) -> Result<Self> {
        Ok(Self { home: Home::open(home)?, table })
    }

    /// The file of `entry` and its size; `None` if it is not there.
    fn file(&self, entry: &Entry) -> Result<Option<(File, u64)>> {
        let path = &entry.path;
        let links = if self.table.follow_links { self.table.rule_for(path).map(|rule| &*rule.folder) } else { None };
        let io = |error: Errno| Error::io("open", self.home.join(path.as_str()))(error.into());
        let file = match self.home.file(path, links) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::LOOP | Errno::XDEV) => return Err(unreadable(entry, "it is a link, which is not followed")),
            opened => opened.map_err(io)?,
        };
        let stat = fstat(&file).map_err(io)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(unreadable(entry, "it is not a regular file"));
        }
        Ok(Some((file, u64::try_from(stat.st_size).unwrap_or(0))))
    }
}

impl Contents for TreeContents {
    fn open(&self, entry: &Entry) -> Result<Option<Box<dyn Read + Send>>> {
        let file = self.file(entry)?;
        Ok(file.map(|(file, _)| Box::new(file) as Box<dyn Read + Send>))
    }

    fn size(&self, entry: &Entry) -> Result<Option<u64>> {
        Ok(self.file(entry)?.map(|(_, size)| size))
    }
}

/// Several places, of which the first that keeps a content gives it.
pub struct FirstOf(pub Vec<Arc<dyn Contents>>);

impl Contents for FirstOf {
    fn open(&self, entry: &Entry) -> Result<Option<Box<dyn Read + Send>>> {
        for place in &self.0 {
            if let Some(content) = place.open(entry)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    fn size(&self, entry: &Entry) -> Result<Option<u64>> {
        for place in &self.0 {
            if let Some(size) = place.size(entry)? {
                return Ok(Some(size));
            }
        }
        Ok(None)
    }
}

/// What keeps nothing: a master that does not know the base of a step.
pub struct NoContents;

impl Contents for NoContents {
    fn open(&self, _: &Entry) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(None)
    }

    fn size(&self, _: &Entry) -> Result<Option<u64>> {
        Ok(None)
    }
}

fn unreadable(entry: &Entry, why: &str) -> Error {
    Error::Conflict { path: entry.path.to_string(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{Digest, RelPath};

    fn entry(path: &str) -> Entry {
        Entry { path: RelPath::new(path).unwrap(), digest: Digest::of(b""), mod_time: 0.0, rule: "etc/".into() }
    }

    #[test]
    fn a_tree_yields_its_files_and_nothing_beside_them() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("etc/folder")).unwrap();
        fs::write(tree.path().join("etc/a"), "content").unwrap();
        symlink("a", tree.path().join("etc/link")).unwrap();
        let contents = TreeContents::new(tree.path(), Arc::default()).unwrap();
        let mut text = String::new();
        contents.open(&entry("etc/a")).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), contents.size(&entry("etc/a")).unwrap()), ("content", Some(7)));
        assert!(contents.open(&entry("etc/gone")).unwrap().is_none());
        for refused in ["etc/link", "etc/folder"] {
            assert!(matches!(contents.open(&entry(refused)), Err(Error::Conflict { .. })), "{refused} was opened");
        }
    }
}
