//! `<home>/.outrider/generations`: its files, and who may change them.
//!
//! ```text
//! 7.generation   what generation 7 brought, and its record
//! 6.pack         the same of one that is no generation any more; others need what lies in it
//! last           the store's lineage and the highest number that was given
//! new            a file that is being written; gone at the next open
//! ```
//!
//! A file becomes what its name says by a rename, when it is whole and on disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::apply::{failed, make, names};
use crate::beneath::Home;
use crate::table::OWN_FOLDER;
use crate::{Digest, Error, Result};

const NAME: &str = "generations";
const NEW: &str = "new";
const LAST: &str = "last";
const LAST_MAGIC: &[u8; 8] = b"OUTRLAS1";

/// What a file in the folder is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Generation,
    Pack,
}

pub(super) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

/// The lineage of a store, and the highest number that it gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Last {
    pub(super) lineage: [u8; 16],
    pub(super) number: u64,
}

impl Folder {
    /// Opens the folder, making it if it is absent, and holds it for this store alone.
    pub(super) fn open(home: &Path) -> Result<Self> {
        let (path, home) = (home.join(OWN_FOLDER).join(NAME), Home::open(home)?);
        let made = make(home.as_fd(), OWN_FOLDER).and_then(|own| make(own.as_fd(), NAME));
        let handle = made.map_err(failed("make", &path))?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(refused("another node has it open; stop it, or ask it for its generations")),
            locked => locked.map(|()| Self { handle, path: path.clone() }).map_err(failed("lock", path)),
        }
    }

    /// Opens the folder to read in it beside whoever holds it; `None` if there is none.
    pub(super) fn look(home: &Path) -> Result<Option<Self>> {
        let (path, home) = (home.join(OWN_FOLDER).join(NAME), Home::open(home)?);
        match home.folder(&format!("{OWN_FOLDER}/{NAME}")) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(|handle| Some(Self { handle, path: path.clone() })).map_err(failed("open", path)),
        }
    }

    /// Another store may open the folder from now on.
    pub(super) fn unlock(&self) -> Result<()> {
        flock(&self.handle, FlockOperation::Unlock).map_err(failed("unlock", &self.path))
    }

    /// The path of a file, for texts.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Numbers and kinds of the files, in order; what an earlier run left half-written is removed.
    pub(super) fn files(&self) -> Result<Vec<(u64, Kind)>> {
        self.remove(NEW)?;
        self.listed()
    }

    /// Numbers and kinds of the files, in order.
    pub(super) fn listed(&self) -> Result<Vec<(u64, Kind)>> {
        let names = names(&self.handle).map_err(failed("list", &self.path))?;
        let mut files: Vec<(u64, Kind)> = names.iter().filter_map(|name| parsed(name)).collect();
        files.sort_unstable_by_key(|(number, kind)| (*number, *kind == Kind::Generation));
        Ok(files)
    }

    pub(super) fn read(&self, number: u64, kind: Kind) -> rustix::io::Result<File> {
        // NONBLOCK: a FIFO in its place must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.handle, name(number, kind), flags, Mode::empty()).map(File::from)
    }

    /// A file to write; [`Folder::commit`] gives it its name.
    pub(super) fn begin(&self) -> Result<File> {
        self.remove(NEW)?;
        self.create(NEW).map_err(failed("make", self.path(NEW)))
    }

    /// Makes the written file durable, then the one of this number and kind.
    pub(super) fn commit(&self, file: &File, number: u64, kind: Kind) -> Result<()> {
        self.settle(file, &name(number, kind))
    }

    /// Removes what was begun and will not be.
    pub(super) fn give_up(&self) {
        let _ = self.remove(NEW);
    }

    /// A generation is none any more; its contents stay.
    pub(super) fn retire(&self, number: u64) -> Result<()> {
        let (from, to) = (name(number, Kind::Generation), name(number, Kind::Pack));
        renameat(&self.handle, &from, &self.handle, to).map_err(failed("rename", self.path(&from)))
    }

    pub(super) fn unlink(&self, number: u64, kind: Kind) -> Result<()> {
        self.remove(&name(number, kind))
    }

    /// What was kept of numbers and lineage, if it can be read.
    pub(super) fn last(&self) -> Option<Last> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.handle, LAST, flags, Mode::empty()).ok()?);
        let mut bytes = [0; 96];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let (body, check) = bytes.split_last_chunk::<64>()?;
        let rest = body.strip_prefix(LAST_MAGIC)?;
        let (lineage, number) = (*rest.first_chunk()?, u64::from_le_bytes(*rest.last_chunk()?));
        (Digest::of(body).0 == *check).then_some(Last { lineage, number })
    }

    /// Keeps numbers and lineage, durably.
    pub(super) fn keep_last(&self, last: Last) -> Result<()> {
        self.remove(NEW)?;
        let file = self.create(NEW).map_err(failed("make", self.path(NEW)))?;
        file.write_all_at(&last.to_bytes(), 0).map_err(Error::io("write", self.path(NEW)))?;
        self.settle(&file, LAST)
    }

    /// The same over what stands there, which reaches the disk when the system writes it.
    pub(super) fn note_last(&self, last: Last) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(&self.handle, LAST, flags, Mode::empty()).map(File::from).map_err(io::Error::from);
        let noted = opened.and_then(|file| file.write_all_at(&last.to_bytes(), 0));
        noted.map_err(Error::io("write", self.path(LAST)))
    }

    fn create(&self, name: &str) -> rustix::io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    fn settle(&self, file: &File, name: &str) -> Result<()> {
        fsync(file).map_err(failed("write", self.path(NEW)))?;
        renameat(&self.handle, NEW, &self.handle, name).map_err(failed("rename", self.path(NEW)))?;
        fsync(&self.handle).map_err(failed("write", &self.path))
    }

    fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", self.path(name))(error)),
        }
    }
}

impl Last {
    fn to_bytes(self) -> [u8; 96] {
        let mut bytes = [0; 96];
        bytes[..8].copy_from_slice(LAST_MAGIC);
        bytes[8..24].copy_from_slice(&self.lineage);
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        let check = Digest::of(&bytes[..32]);
        bytes[32..].copy_from_slice(&check.0);
        bytes
    }
}

/// What a closed store says.
pub(super) fn closed() -> Error {
    refused("the store is closed; open it again")
}

pub(super) fn refused(why: &str) -> Error {
    Error::Conflict { path: format!("{OWN_FOLDER}/{NAME}"), why: why.to_owned() }
}

fn name(number: u64, kind: Kind) -> String {
    match kind {
        Kind::Generation => format!("{number}.generation"),
        Kind::Pack => format!("{number}.pack"),
    }
}

fn parsed(found: &str) -> Option<(u64, Kind)> {
    let (number, ending) = found.split_once('.')?;
    let kind = if ending == "pack" { Kind::Pack } else { Kind::Generation };
    // Beyond this nobody counts; it leaves room for the next number.
    let number = number.parse().ok().filter(|number| *number <= u64::MAX / 2)?;
    (found == name(number, kind)).then_some((number, kind))
}
