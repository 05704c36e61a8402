//! One file: stat it, or read it so that stat and digest belong together.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::{Errno, read, retry_on_intr};

use super::queue::{Candidate, Piece};
use super::runs::{Found, Run};
use super::{Problem, Shared, not_regular};
use crate::index::{Record, SETTLE, Stat};
use crate::{Digest, Hasher};

/// Small files are read into one arena and hashed side by side; it fits the second-level cache together
/// with the pages that it is filled from. Twice as much costs more in cache than longer batches save.
const ARENA: usize = 512 * 1024;
/// The arena at first.
const FIRST: usize = 32 * 1024;
/// Larger files go through one stream in parts of this size.
const PART: usize = 256 * 1024;
const TRIES: usize = 3;

/// What one thread found so far.
#[derive(Default)]
pub(super) struct Looked {
    /// A run for each piece of a folder.
    pub runs: Vec<Run>,
    pub problems: Vec<Problem>,
    pub hashed: usize,
    pub bytes_hashed: u64,
}

/// One thread at work.
pub(super) struct Looker<'a, 'i> {
    shared: &'a Shared<'i>,
    pub looked: Looked,
    arena: Vec<u8>,
    used: usize,
    waiting: Vec<Waiting>,
}

/// A small file that ends here in the arena and whose digest is still to come.
struct Waiting {
    run: usize,
    at: usize,
    end: usize,
}

/// How a file looked, its digest unless it waits in the arena, and whether both may be kept.
type Look = (Stat, Option<Digest>, bool);

/// Why a file gives no entry now.
enum Refused {
    /// It is gone; nothing to report.
    Gone,
    /// It changed while it was read; worth another try.
    Changed,
    /// It is left out for this reason.
    Left(String),
    /// Whoever watches has ended the scan.
    Stopped,
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Gone,
            error => Self::Left(format!("cannot read it: {error}")),
        }
    }
}

impl<'a, 'i> Looker<'a, 'i> {
    pub(super) fn new(shared: &'a Shared<'i>) -> Self {
        Self { shared, looked: Looked::default(), arena: Vec::new(), used: 0, waiting: Vec::new() }
    }

    /// Looks at each file; digests may be missing until [`Looker::finish`].
    pub(super) fn look(&mut self, piece: Piece<'_>) {
        let run = self.looked.runs.len();
        let (files, read) = (piece.files.len(), self.looked.hashed);
        self.looked.runs.push(Run { rule: piece.rule, files: Vec::with_capacity(files) });
        for file in piece.files {
            if self.shared.progress.is_stopped() {
                return;
            }
            match self.unchanged(&piece.handle, &file).map_or_else(|| self.read(&piece.handle, &file, piece.rule), Ok) {
                Ok((stat, digest, settled)) => {
                    if digest.is_none() {
                        self.waiting.push(Waiting { run, at: self.looked.runs[run].files.len(), end: self.used });
                    }
                    let record = Record { path: file.path, stat, digest: digest.unwrap_or(Digest([0; 64])) };
                    self.looked.runs[run].files.push(Found { record, settled });
                }
                Err(Refused::Gone) => {}
                Err(Refused::Changed) => {
                    let why = format!("it changed while it was read, {TRIES} times; the next scan tries again");
                    self.looked.problems.push(Problem::new(file.path.as_str(), why));
                }
                Err(Refused::Left(why)) => self.looked.problems.push(Problem::new(file.path.as_str(), why)),
                Err(Refused::Stopped) => return, // the scan fails, whatever was found
            }
        }
        // Those that were read have been counted one by one.
        self.shared.progress.add_files(files - (self.looked.hashed - read));
    }

    /// What was found, complete.
    pub(super) fn finish(mut self) -> Looked {
        self.flush();
        self.looked
    }

    /// Hashes what waits in the arena, side by side.
    fn flush(&mut self) {
        let starts = std::iter::once(0).chain(self.waiting.iter().map(|file| file.end));
        let inputs: Vec<&[u8]> = starts
            .zip(&self.waiting)
            .map(|(start, file)| self.arena.get(start..file.end).unwrap_or_default())
            .collect();
        let digests = Digest::of_many(&inputs);
        for (file, digest) in self.waiting.drain(..).zip(digests) {
            if let Some(found) = self.looked.runs.get_mut(file.run).and_then(|run| run.files.get_mut(file.at)) {
                found.record.digest = digest;
            }
        }
        self.used = 0;
    }

    /// What the index says, if the file still looks like that.
    fn unchanged(&self, folder: &OwnedFd, file: &Candidate<'_>) -> Option<Look> {
        let known = file.known.filter(|_| !file.is_link)?;
        let now = statat(folder, file.path.name(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let stat = Stat::from(&now);
        let same = stat == known.stat() && self.shared.why_not(&now).is_none();
        same.then(|| (stat, Some(known.digest()), true))
    }

    fn read(&mut self, folder: &OwnedFd, file: &Candidate<'_>, rule: usize) -> Result<Look, Refused> {
        for _ in 1..TRIES {
            match self.read_once(folder, file, rule) {
                Err(Refused::Changed) => {}
                done => return done,
            }
        }
        self.read_once(folder, file, rule)
    }

    fn read_once(&mut self, folder: &OwnedFd, file: &Candidate<'_>, rule: usize) -> Result<Look, Refused> {
        let opened = self.open(folder, file, rule)?;
        let (before, kept) = self.rested(&opened)?;
        let small = usize::try_from(before.size).ok().filter(|size| *size <= ARENA);
        let (digest, length) = match small {
            Some(size) => (None, self.fill(&opened, size)?),
            None => self.stream(&opened)?,
        };
        if length != before.size || Stat::from(&fstat(&opened)?) != before {
            return Err(Refused::Changed);
        }
        self.used += small.unwrap_or(0);
        self.looked.hashed += 1;
        self.looked.bytes_hashed += length;
        self.shared.progress.add_files(1);
        Ok((before, digest, kept))
    }

    /// How a file looks, once nothing that comes later could look the same, and whether that is so.
    ///
    /// A change within the tick of the last one would leave no trace. Few files are that fresh, and one wait serves all
    /// of them; where a wait would not help (whole seconds, a clock that went back) there is none.
    fn rested(&self, opened: &OwnedFd) -> Result<(Stat, bool), Refused> {
        let look = || {
            let seen = SystemTime::now();
            fstat(opened).map(|stat| (seen, stat))
        };
        let (seen, stat) = look()?;
        if let Some(why) = self.shared.why_not(&stat) {
            return Err(Refused::Left(why));
        }
        let wait = Stat::from(&stat).unsettled(seen);
        if wait.is_zero() || self.shared.grain().is_fine(&stat) {
            return Ok((Stat::from(&stat), true));
        }
        if wait > SETTLE {
            return Ok((Stat::from(&stat), false));
        }
        std::thread::sleep(wait);
        let (seen, stat) = look()?;
        let stat = Stat::from(&stat);
        Ok((stat, stat.settled(seen)))
    }

    fn open(&self, folder: &OwnedFd, file: &Candidate<'_>, rule: usize) -> Result<OwnedFd, Refused> {
        if !file.is_link {
            // NONBLOCK: a FIFO that took the file's place must not hold us.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            return Ok(openat(folder, file.path.name(), flags, Mode::empty())?);
        }
        if !self.shared.table.follow_links {
            return Err(Refused::Left(not_regular(FileType::Symlink)));
        }
        let root = &self.shared.table.rules[rule].folder;
        self.shared.home.file(&file.path, Some(root)).map(OwnedFd::from).map_err(|error| match error {
            Errno::XDEV => Refused::Left("it is a link that leaves its table folder".to_owned()),
            error => Refused::Left(format!("it is a link that cannot be followed: {error}")),
        })
    }

    /// Reads a small file behind the others in the arena; up to `size` bytes.
    fn fill(&mut self, opened: &OwnedFd, size: usize) -> Result<u64, Refused> {
        if self.used + size > self.arena.len() {
            self.flush();
            if self.arena.len() < ARENA {
                // Most looks read little or nothing, and a large arena costs as much as many small files.
                self.arena = vec![0; if self.arena.is_empty() && size <= FIRST { FIRST } else { ARENA }];
            }
        }
        let space = &mut self.arena[self.used..self.used + size];
        let mut length = 0;
        while length < size {
            match retry_on_intr(|| read(opened, &mut space[length..]))? {
                0 => break,
                n => length += n,
            }
        }
        self.shared.progress.add_bytes(length as u64);
        Ok(length as u64)
    }

    /// Reads a large file part by part.
    fn stream(&self, opened: &OwnedFd) -> Result<(Option<Digest>, u64), Refused> {
        let (mut part, mut hasher, mut length) = (vec![0; PART], Hasher::default(), 0);
        loop {
            if self.shared.progress.is_stopped() {
                return Err(Refused::Stopped);
            }
            match retry_on_intr(|| read(opened, part.as_mut_slice()))? {
                0 => return Ok((Some(hasher.finish()), length)),
                n => {
                    hasher.update(&part[..n]);
                    length += n as u64;
                    self.shared.progress.add_bytes(n as u64);
                }
            }
        }
    }
}
