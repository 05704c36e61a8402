//! What the tree keeps for itself: `.outrider` at the root of every mount that it writes to.
//!
//! ```text
//! <home>/.outrider/journal             a transaction that is being exchanged
//! <home>/.outrider/journal.undo        one that is being taken back
//! <home>/.outrider/journal.damaged     the last one that could not be read
//! <home>/.outrider/stage/7/            transaction 7: 0, 1, 2... new files, later the old ones
//! <home>/.outrider/stage/7/journal     ... it is committed; what lies here is the previous version
//! <home>/.outrider/stage/7/mounts      ... other folders below the home that hold a stage of their own
//! <home>/.outrider/trash/6/            a version on its way out
//! <mount>/.outrider/stage/7/           its files that belong on another mount
//! ```
//!
//! A stage with neither a `journal` in it nor one above it is what a crash left: nothing of it was
//! ever in the tree.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, IFlags, Mode, OFlags, flock, ioctl_getflags, ioctl_setflags, mkdirat, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::beneath::Home;
use crate::{Error, RelPath, Result};

/// The folder that no scan enters and no container may name.
pub(super) const HIDDEN: &str = ".outrider";
pub(super) const JOURNAL: &str = "journal";
pub(super) const UNDO: &str = "journal.undo";
pub(super) const MOUNTS: &str = "mounts";
const INDEX: &str = "index";
const STAGE: &str = "stage";
const TRASH: &str = "trash";
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The `.outrider` folder of the home, open.
pub(super) struct Workspace<'a> {
    pub(super) home: &'a Home,
    pub(super) root: OwnedFd,
    stage: OwnedFd,
    trash: OwnedFd,
}

impl<'a> Workspace<'a> {
    /// Opens it, making what is absent.
    pub(super) fn open(home: &'a Home) -> Result<Self> {
        let root = hidden(home, "")?;
        let made = |name| make(root.as_fd(), name).map_err(failed("make", home.join(HIDDEN).join(name)));
        let (stage, trash) = (made(STAGE)?, made(TRASH)?);
        spread(stage.as_fd());
        Ok(Self { home, root, stage, trash })
    }

    /// Whether this is now the only one at work here, in any process, until it is dropped.
    pub(super) fn lock(&self) -> Result<bool> {
        match flock(&self.root, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(failed("lock", self.home.join(HIDDEN))(error)),
        }
    }

    /// The path of a transaction's stage on the mount that begins at `mount`, for texts.
    pub(super) fn stage_path(&self, mount: &str, number: u64) -> PathBuf {
        self.home.join(mount).join(HIDDEN).join(STAGE).join(number.to_string())
    }

    /// Opens a transaction's stage on a mount.
    pub(super) fn stage(&self, mount: &str, number: u64) -> Result<OwnedFd> {
        let opened = self.home.folder(&below(mount, number));
        opened.map_err(failed("open", self.stage_path(mount, number)))
    }

    /// Makes a transaction's stage on a mount.
    pub(super) fn make_stage(&self, mount: &str, number: u64) -> Result<OwnedFd> {
        let stages = make(hidden(self.home, mount)?.as_fd(), STAGE);
        let made = stages.and_then(|stages| {
            spread(stages.as_fd());
            make(stages.as_fd(), &number.to_string())
        });
        made.map_err(failed("make", self.stage_path(mount, number)))
    }

    /// Numbers of the stages, and whether each is committed.
    pub(super) fn stages(&self) -> Result<Vec<(u64, bool)>> {
        let listed = numbers(&self.stage).map_err(failed("list", self.home.join(HIDDEN).join(STAGE)))?;
        let committed = |number: u64| exists(self.stage.as_fd(), &format!("{number}/{JOURNAL}"));
        Ok(listed.into_iter().map(|number| (number, committed(number))).collect())
    }

    /// A number that no transaction has: one more than the last; the first is the time, so that [`spread`] has it lie
    /// where none did lately, of this home or of another one.
    pub(super) fn next_number(&self) -> Result<u64> {
        let trash = numbers(&self.trash).map_err(failed("list", self.home.join(HIDDEN).join(TRASH)))?;
        let used = self.stages()?.into_iter().map(|(number, _)| number).chain(trash).max();
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        Ok(used.map_or_else(|| u64::try_from(now()).unwrap_or(0), |number| number + 1))
    }

    /// Moves a transaction out of the way: it is no version any more.
    pub(super) fn discard(&self, number: u64) -> Result<()> {
        let name = number.to_string();
        match renameat(&self.stage, &name, &self.trash, &name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("move", self.stage_path("", number))(error)),
        }
    }

    /// Makes a stage count as a version, for as long as versions are kept.
    pub(super) fn keep(&self, number: u64) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let kept = openat(&self.stage, format!("{number}/{JOURNAL}"), flags, Mode::RUSR | Mode::WUSR);
        kept.map(drop).map_err(failed("keep", self.stage_path("", number)))
    }

    /// Removes the index: the next scan reads every file.
    pub(super) fn forget_index(&self) -> Result<()> {
        remove(self.root.as_fd(), INDEX).map_err(failed("remove", self.home.join(HIDDEN).join(INDEX)))
    }

    /// Removes what was discarded; how many transactions. Slow: two system calls a file.
    pub(super) fn empty_trash(&self) -> Result<usize> {
        let path = self.home.join(HIDDEN).join(TRASH);
        let numbers = numbers(&self.trash).map_err(failed("list", &path))?;
        for number in &numbers {
            let name = number.to_string();
            for mount in self.mounts_of(&format!("{HIDDEN}/{TRASH}/{name}")) {
                if let Ok(stages) = self.home.folder(&join(&mount, &format!("{HIDDEN}/{STAGE}"))) {
                    remove(stages.as_fd(), &name).map_err(failed("remove", self.stage_path(&mount, *number)))?;
                }
            }
            remove(self.trash.as_fd(), &name).map_err(failed("remove", path.join(&name)))?;
        }
        Ok(numbers.len())
    }

    /// The other mounts that a transaction uses; unreadable names are none of ours.
    fn mounts_of(&self, transaction: &str) -> Vec<String> {
        let mut text = String::new();
        let file =
            RelPath::new(&format!("{transaction}/{MOUNTS}")).ok().and_then(|path| self.home.file(&path, None).ok());
        if file.and_then(|mut file| file.read_to_string(&mut text).ok()).is_none() {
            return Vec::new();
        }
        text.split('\0').filter(|mount| RelPath::new(mount).is_ok()).map(str::to_owned).collect()
    }
}

/// Path of a stage below the home.
fn below(mount: &str, number: u64) -> String {
    join(mount, &format!("{HIDDEN}/{STAGE}/{number}"))
}

fn join(folder: &str, below: &str) -> String {
    if folder.is_empty() { below.to_owned() } else { format!("{folder}/{below}") }
}

fn hidden(home: &Home, mount: &str) -> Result<OwnedFd> {
    let path = home.join(mount).join(HIDDEN);
    let folder = home.folder(mount).map_err(failed("open", home.join(mount)))?;
    make(folder.as_fd(), HIDDEN).map_err(failed("make", path))
}

/// Has each folder made in this one lie elsewhere on the disk, where the file system can (ext4).
///
/// ext4 makes a file near its folder, and there steps over each inode that was freed in the last minutes, one by one. All
/// stages in one place would have every file of an apply step over the thousands that the version before the last has left.
fn spread(folder: rustix::fd::BorrowedFd<'_>) {
    // what this is worth is time: where it is not to be had, all else is the same
    if let Ok(flags) = ioctl_getflags(folder)
        && !flags.contains(IFlags::TOPDIR)
    {
        let _ = ioctl_setflags(folder, flags | IFlags::TOPDIR);
    }
}

/// Opens a folder, making it if it is absent; never follows a link.
pub(crate) fn make(parent: rustix::fd::BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {
            match mkdirat(parent, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            openat(parent, name, FOLDER, Mode::empty())
        }
        opened => opened,
    }
}

/// Whether something of this name exists.
pub(super) fn exists(folder: rustix::fd::BorrowedFd<'_>, name: &str) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// The names in a folder, without `.` and `..`.
pub(crate) fn names(folder: impl AsFd) -> rustix::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            found.push(name);
        }
    }
    Ok(found)
}

fn numbers(folder: &OwnedFd) -> rustix::io::Result<Vec<u64>> {
    let mut found: Vec<u64> = names(folder)?.iter().filter_map(|name| name.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}

/// Removes a file or a folder with all that is in it; links are removed, not followed.
///
/// Names are bytes here: what was moved out of the tree with its folder may have any.
pub(super) fn remove(parent: rustix::fd::BorrowedFd<'_>, name: impl Arg + Copy) -> rustix::io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let folder = openat(parent, name, FOLDER, Mode::empty())?;
    let mut inside: Vec<_> = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            inside.push(name);
        }
    }
    // What tells where the rest lies goes last.
    inside.sort_by_key(|name| name.as_c_str() == c"mounts");
    for name in inside {
        if let Err(Errno::ISDIR | Errno::PERM) = unlinkat(&folder, &name, AtFlags::empty()) {
            remove(folder.as_fd(), name.as_c_str())?;
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// [`Error::io`] for the errors of rustix.
pub(crate) fn failed(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Error {
    let path = path.into();
    move |error| Error::io(action, path)(error.into())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_is_discarded_is_removed_whatever_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let workspace = Workspace::open(&home).unwrap();
        let deep = folder.path().join(".outrider/stage/3/0").join(OsStr::from_bytes(b"caf\xe9/\xff\xfe"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join(OsStr::from_bytes(b"\x80")), "own").unwrap();
        workspace.discard(3).unwrap();
        assert_eq!(workspace.empty_trash().unwrap(), 1);
        assert_eq!(fs::read_dir(folder.path().join(".outrider/trash")).unwrap().count(), 0);
    }
}
