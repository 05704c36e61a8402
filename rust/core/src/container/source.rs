//! Files as they are now: opened beneath the home, read whole or not at all.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::beneath::Home;
use crate::index::Stat;
use crate::{FilesTable, RelPath};

/// How often a file that changes while it is read is read again (threat 36).
const TRIES: usize = 3;

/// Where packed files come from.
pub(super) struct Source {
    pub(super) home: Home,
    pub(super) table: FilesTable,
}

/// An open file and its stat when it was opened.
pub(super) struct Opened {
    pub(super) file: File,
    stat: Stat,
}

/// Why a file is not packed.
pub(super) enum Refusal {
    /// It is not there any more.
    Gone,
    /// It is there, and cannot be taken now.
    Kept(String),
}

impl Source {
    pub(super) fn open(&self, path: &RelPath) -> Result<Opened, Refusal> {
        let links = if self.table.follow_links { self.table.rule_for(path).map(|rule| &*rule.folder) } else { None };
        let file = match self.home.file(path, links) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(Refusal::Gone),
            Err(Errno::LOOP | Errno::XDEV) => {
                return Err(Refusal::Kept("it is a link, which is not followed".to_owned()));
            }
            other => other?,
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Refusal::Kept("it is not a regular file".to_owned()));
        }
        Ok(Opened { file, stat: Stat::from(&stat) })
    }

    /// Appends the content of a small file, and returns the file's time; reads again if it changes meanwhile.
    pub(super) fn read_whole(&self, path: &RelPath, mut opened: Opened, out: &mut Vec<u8>) -> Result<f64, Refusal> {
        let start = out.len();
        for attempt in 1.. {
            let size = opened.size();
            // One byte more tells that it grew.
            (&mut opened.file).take(size + 1).read_to_end(out)?;
            if (out.len() - start) as u64 == size && opened.unchanged()? {
                return Ok(opened.mod_time());
            }
            out.truncate(start);
            if attempt == TRIES {
                break;
            }
            opened = self.open(path)?;
        }
        Err(Refusal::changing())
    }
}

impl Opened {
    pub(super) fn size(&self) -> u64 {
        self.stat.size
    }

    pub(super) fn mod_time(&self) -> f64 {
        self.stat.mod_time()
    }

    /// Whether the file is still what was opened.
    pub(super) fn unchanged(&self) -> io::Result<bool> {
        Ok(Stat::from(&fstat(&self.file)?) == self.stat)
    }
}

impl Refusal {
    pub(super) fn changing() -> Self {
        Self::Kept("it changes while it is read; the next round tries again".to_owned())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        // Unreadable is not gone: calling it gone would delete a good copy at the far end for a
        // wrong permission or a bad sector here.
        Self::Kept(format!("it cannot be read: {error}"))
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}
