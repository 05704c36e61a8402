//! Opening what lies beneath a folder, and never anything else.
//!
//! A [`Home`] is an open handle; every file and folder is reached from it by `openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`. A folder that becomes a link between a check and its
//! use therefore ends in an error, not outside (threats 24-26). Kernels or sandboxes without
//! `openat2` get the same by one `O_NOFOLLOW` step for each component.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::{Error, RelPath, Result};

/// How often `openat2` is tried again when the tree is renamed under it.
const RACES: usize = 64;

/// An open root folder.
pub(crate) struct Home {
    handle: OwnedFd,
    path: PathBuf,
}

impl Home {
    /// Opens the root; its own path may pass through links, since the settings name it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let handle = openat(CWD, path, flags, Mode::empty()).map_err(|error| Error::io("open", path)(error.into()))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// The path of something below, for texts.
    pub(crate) fn join(&self, below: &str) -> PathBuf {
        if below.is_empty() { self.path.clone() } else { self.path.join(below) }
    }

    /// Opens a folder; `""` is the root itself.
    pub(crate) fn folder(&self, folder: &str) -> rustix::io::Result<OwnedFd> {
        let below = if folder.is_empty() { "." } else { folder };
        open_beneath(self.handle.as_fd(), below, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
    }

    /// Opens a file for reading. With `follow_below`, links below that table folder are followed as
    /// long as they stay inside it (profile `wazuh-4.9`); else no link is followed anywhere.
    pub(crate) fn file(&self, path: &RelPath, follow_below: Option<&str>) -> rustix::io::Result<File> {
        // NONBLOCK: a FIFO that took a file's place must not hold us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let inside = follow_below.and_then(|root| Some((root, path.as_str().strip_prefix(root)?)));
        let handle = match inside {
            Some((root, inner)) => {
                let root = self.folder(root.trim_end_matches('/'))?;
                open_beneath(root.as_fd(), inner, flags, ResolveFlags::empty())?
            }
            None => open_beneath(self.handle.as_fd(), path.as_str(), flags, ResolveFlags::NO_SYMLINKS)?,
        };
        Ok(File::from(handle))
    }
}

impl AsFd for Home {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

fn open_beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags, links: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | links;
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..RACES {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS | Errno::PERM) => return open_by_steps(root, path, flags),
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// The same without `openat2`; follows no link at all, which is the safe half of its promise.
fn open_by_steps(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(folders, name)| (Some(folders), name));
    let mut at: Option<OwnedFd> = None;
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        at = Some(openat(at.as_ref().map_or(root, AsFd::as_fd), folder, step, Mode::empty())?);
    }
    openat(at.as_ref().map_or(root, AsFd::as_fd), name, flags | OFlags::NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("home/etc/rules")).unwrap();
        std::fs::write(tree.path().join("home/etc/rules/a.xml"), "inside").unwrap();
        std::fs::write(tree.path().join("secret"), "outside").unwrap();
        symlink("../../../secret", tree.path().join("home/etc/rules/out")).unwrap();
        symlink("a.xml", tree.path().join("home/etc/rules/in")).unwrap();
        symlink("rules", tree.path().join("home/etc/way")).unwrap();
        tree
    }

    fn read(home: &Home, path: &str, follow: Option<&str>) -> Option<String> {
        let mut text = String::new();
        home.file(&RelPath::new(path).unwrap(), follow).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[test]
    fn threat_26_links_are_not_followed_unless_they_stay_in_their_table_folder() {
        let tree = tree();
        let home = Home::open(&tree.path().join("home")).unwrap();
        assert_eq!(read(&home, "etc/rules/a.xml", None).as_deref(), Some("inside"));
        for refused in ["etc/rules/in", "etc/rules/out", "etc/way/a.xml"] {
            assert_eq!(read(&home, refused, None), None, "{refused} was followed");
        }
        assert_eq!(read(&home, "etc/rules/in", Some("etc/rules/")).as_deref(), Some("inside"));
        assert_eq!(read(&home, "etc/rules/out", Some("etc/rules/")), None);
        assert!(home.folder("etc/way").is_err());
    }

    #[test]
    fn threat_25_the_way_without_openat2_follows_no_link_either() {
        let tree = tree();
        let home = Home::open(&tree.path().join("home")).unwrap();
        let open = |path: &str| open_by_steps(home.as_fd(), path, OFlags::RDONLY);
        assert!(open("etc/rules/a.xml").is_ok());
        for refused in ["etc/rules/in", "etc/rules/out", "etc/way/a.xml", "etc/way"] {
            assert_eq!(open(refused).err(), Some(if refused == "etc/way/a.xml" { Errno::NOTDIR } else { Errno::LOOP }));
        }
    }
}
