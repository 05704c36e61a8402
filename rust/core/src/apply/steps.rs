//! Single changes of the tree, each by one rename, each of which can be taken back.
//!
//! How far a step got is told by what lies in the stage: no step needs a note of its own, and every
//! step can be repeated, in either direction, after any crash.

use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::workspace::{Workspace, exists, failed};
use crate::beneath::Home;
use crate::{Error, RelPath, Result};

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) path: RelPath,
    pub(super) mount: usize,
    /// Its name in the stage of that mount.
    pub(super) item: u64,
}

/// What is done with the item in the stage and the path in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The staged file, of this inode number, goes where nothing is.
    Put(u64),
    /// The staged folder goes where nothing is.
    PutFolder,
    /// The staged file, of this inode number, and what is in its place change places.
    Swap(u64),
    /// A file or folder of the tree goes into the stage.
    Take,
}

/// Carries out steps.
pub(super) struct Mover<'a> {
    home: &'a Home,
    stages: Vec<Option<OwnedFd>>,
    /// The last folder that was opened.
    folder: Option<(String, OwnedFd)>,
    /// Whether `RENAME_EXCHANGE` works here, as far as is known.
    exchange: bool,
}

impl<'a> Mover<'a> {
    /// For the stages of transaction `number` on these mounts.
    pub(super) fn new(workspace: &Workspace<'a>, mounts: &[String], number: u64, steps: &[Step]) -> Result<Self> {
        let used = |at| at == 0 || steps.iter().any(|step| step.mount == at);
        let open = |(at, mount): (usize, &String)| used(at).then(|| workspace.stage(mount, number)).transpose();
        let stages = mounts.iter().enumerate().map(open).collect::<Result<_>>()?;
        Ok(Self { home: workspace.home, stages, folder: None, exchange: true })
    }

    /// Does a step that was not begun.
    pub(super) fn forward(&mut self, step: &Step) -> Result<()> {
        let done = self.at(step, |at| match step.kind {
            Kind::Put(_) | Kind::PutFolder => at.put(&at.item, at.name),
            Kind::Swap(_) => at.swap(),
            Kind::Take => at.take(),
        });
        self.told("change", step, done, step.kind == Kind::Take)
    }

    /// Does what is left of a step, however far it got.
    pub(super) fn finish(&mut self, step: &Step) -> Result<()> {
        let done = self.at(step, |at| match step.kind {
            Kind::Put(_) | Kind::PutFolder if at.staged() => at.put(&at.item, at.name),
            Kind::Swap(new) if at.inode_staged() == Some(new) => {
                if exists(at.stage, &at.old()) {
                    at.put(&at.item, at.name)
                } else {
                    at.swap()
                }
            }
            Kind::Take if !at.staged() => at.take(),
            _ => Ok(()),
        });
        self.told("finish the change of", step, done, step.kind == Kind::Take)
    }

    /// Takes back what was done of a step, however far it got; leaves alone what somebody else put there since.
    pub(super) fn undo(&mut self, step: &Step) -> Result<()> {
        let done = self.at(step, |at| match step.kind {
            Kind::Put(new) if !at.staged() && at.inode_in_tree() == Some(new) => at.put_back(&at.item),
            Kind::PutFolder if !at.staged() => match unlinkat(at.folder, at.name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
                removed => removed,
            },
            Kind::Swap(new) => at.swap_back(new),
            Kind::Take if at.staged() => at.put(&at.item, at.name),
            _ => Ok(()),
        });
        self.told("take back the change of", step, done, matches!(step.kind, Kind::Put(_) | Kind::PutFolder))
    }

    /// Names the step in its error. Where `gone_is_done`, it is done if its place is not there any more.
    fn told(&self, action: &'static str, step: &Step, done: rustix::io::Result<()>, gone_is_done: bool) -> Result<()> {
        match done {
            Err(Errno::NOENT | Errno::NOTDIR) if gone_is_done => Ok(()),
            done => done.map_err(|error| refused(action, self.home, &step.path, error)),
        }
    }

    /// Names in a folder that was taken into the stage.
    pub(super) fn taken_names(&self, step: &Step) -> Result<Vec<String>> {
        let open = || {
            let stage = self.stages[step.mount].as_ref().ok_or(Errno::BADF)?;
            let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
            let folder = rustix::fs::openat(stage, step.item.to_string(), flags, rustix::fs::Mode::empty())?;
            super::workspace::names(&folder)
        };
        open().map_err(failed("list", self.home.join(step.path.as_str())))
    }

    fn at(&mut self, step: &Step, work: impl FnOnce(&mut At<'_>) -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        let folder = step.path.folder();
        if self.folder.as_ref().is_none_or(|(open, _)| open != folder) {
            self.folder = None;
            self.folder = Some((folder.to_owned(), self.home.folder(folder)?));
        }
        let (Some((_, folder)), Some(stage)) = (&self.folder, &self.stages[step.mount]) else {
            return Err(Errno::BADF);
        };
        let mut item = String::new();
        let _ = write!(item, "{}", step.item);
        let mut at = At {
            folder: folder.as_fd(),
            name: step.path.name(),
            stage: stage.as_fd(),
            item,
            exchange: &mut self.exchange,
        };
        work(&mut at)
    }
}

/// The two places of one step.
struct At<'a> {
    folder: rustix::fd::BorrowedFd<'a>,
    name: &'a str,
    stage: rustix::fd::BorrowedFd<'a>,
    item: String,
    exchange: &'a mut bool,
}

impl At<'_> {
    fn staged(&self) -> bool {
        exists(self.stage, &self.item)
    }

    fn inode_staged(&self) -> Option<u64> {
        statat(self.stage, &self.item, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_ino)
    }

    fn inode_in_tree(&self) -> Option<u64> {
        statat(self.folder, self.name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_ino)
    }

    /// Where the old file lies while a swap is done in two renames.
    fn old(&self) -> String {
        format!("{}.old", self.item)
    }

    fn put(&self, from: &str, to: &str) -> rustix::io::Result<()> {
        rename_to_nothing(self.stage, from, self.folder, to)
    }

    fn put_back(&self, to: &str) -> rustix::io::Result<()> {
        rename_to_nothing(self.folder, self.name, self.stage, to)
    }

    fn take(&self) -> rustix::io::Result<()> {
        self.put_back(&self.item)
    }

    /// The new file is in the stage, the old one in the tree.
    fn swap(&mut self) -> rustix::io::Result<()> {
        if *self.exchange {
            match renameat_with(self.stage, &self.item, self.folder, self.name, RenameFlags::EXCHANGE) {
                Err(error) if unsupported(error) => *self.exchange = false,
                done => return done,
            }
        }
        self.put_back(&self.old())?;
        self.put(&self.item, self.name)
    }

    fn swap_back(&mut self, new: u64) -> rustix::io::Result<()> {
        let (staged, halfway) = (self.inode_staged(), exists(self.stage, &self.old()));
        if !halfway && staged.is_none_or(|ino| ino == new) {
            return Ok(());
        }
        if staged != Some(new) {
            if self.inode_in_tree() != Some(new) {
                return Ok(());
            }
            if !halfway {
                return self.swap();
            }
            self.put_back(&self.item)?;
        }
        self.put(&self.old(), self.name)
    }
}

fn rename_to_nothing(
    from: rustix::fd::BorrowedFd<'_>,
    name: &str,
    to: rustix::fd::BorrowedFd<'_>,
    new: &str,
) -> rustix::io::Result<()> {
    match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // Without the flag a look must do; only a program that writes into the tree in this moment could lose.
        Err(error) if unsupported(error) && !exists(to, new) => renameat(from, name, to, new),
        Err(error) if unsupported(error) => Err(Errno::EXIST),
        done => done,
    }
}

fn unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// What somebody changed in the tree meanwhile is a conflict, the rest is the disk's.
fn refused(action: &'static str, home: &Home, path: &RelPath, error: Errno) -> Error {
    let why = match error {
        Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => "something was put there meanwhile; try again",
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => "it or its folder was removed or replaced meanwhile; try again",
        Errno::BUSY => "something is mounted there; unmount it, or take it out of the files table",
        _ => return failed(action, home.join(path.as_str()))(error),
    };
    Error::Conflict { path: path.to_string(), why: why.to_owned() }
}
