//! What a transaction is about to do, on disk before it does it.
//!
//! The file is a digest and a JSON line. It is written aside, made durable with everything staged,
//! and then becomes the journal by a rename; from here on a crash finishes the transaction. Another
//! rename commits it, a third marks it as one to take back: each is one atomic decision.
//!
//! A journal that cannot be read decides nothing any more: it is set aside, and so is its transaction.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, syncfs, unlinkat};
use rustix::io::Errno;
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

use super::stage::Stages;
use super::steps::{Kind, Step};
use super::workspace::{HIDDEN, JOURNAL, UNDO, Workspace, exists, failed, remove};
use crate::digest::Summed;
use crate::{Digest, Error, RelPath, Result};

/// Its name in the stage while it is written.
const PLAN: &str = "plan";
/// Where a journal that cannot be read goes; the last one stays.
pub(super) const DAMAGED: &str = "journal.damaged";

/// The steps of one transaction, in order.
#[derive(Debug, PartialEq)]
pub(crate) struct Journal {
    pub(super) number: u64,
    pub(super) mounts: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// What stands under a journal's name.
pub(super) enum Found {
    Nothing,
    Whole(Journal),
    /// Why nothing can be done by it.
    Damaged(String),
}

/// How a journal is read; it is written by [`Serialize`], a step at a time.
#[derive(Deserialize)]
struct Text {
    number: u64,
    mounts: Vec<String>,
    steps: Vec<StepText<String>>,
}

/// Kind, inode number, path, mount, item.
type StepText<S> = (char, u64, S, usize, u64);

impl Journal {
    /// Writes it aside; [`activate`] makes it count.
    pub(super) fn write(&self, workspace: &Workspace<'_>, stages: &mut Stages<'_>) -> Result<()> {
        let path = workspace.stage_path("", self.number).join(PLAN);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(stages.stage(0)?, PLAN, flags, Mode::RUSR | Mode::WUSR).map_err(failed("make", &path))?;
        let mut out = BufWriter::new(File::from(file));
        self.write_to(&mut out).and_then(|()| out.flush()).map_err(Error::io("write", path))
    }

    /// Looks for the journal of this name.
    pub(super) fn read(workspace: &Workspace<'_>, name: &str) -> Result<Found> {
        let path = workspace.home.join(HIDDEN).join(name);
        // NONBLOCK: a FIFO in its place must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&workspace.root, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(Errno::LOOP) => return Ok(Found::Damaged("it is a link".to_owned())),
            opened => opened.map_err(failed("open", &path))?,
        };
        let mut file = File::from(file);
        // So much depends on it that a disk which refuses once is asked again.
        let text = match whole(&mut file).or_else(|_| file.rewind().and_then(|()| whole(&mut file))) {
            // A sector that is gone, or a folder: it reads no better at the next start.
            Err(error) if lasts(&error) => return Ok(Found::Damaged(error.to_string())),
            read => read.map_err(Error::io("read", path))?,
        };
        Ok(match Self::parse(&text) {
            Err(why) => Found::Damaged(why),
            Ok(journal) if !exists(workspace.root.as_fd(), &format!("stage/{}", journal.number)) => {
                Found::Damaged(format!("the files of its transaction, {}, are gone", journal.number))
            }
            Ok(journal) => Found::Whole(journal),
        })
    }

    /// The digest stands first, so the text is made twice: it may be large, and is never held.
    pub(crate) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut summed = Summed::new(io::sink());
        serde_json::to_writer(&mut summed, self)?;
        let (_, digest) = summed.finish();
        writeln!(out, "{digest}")?;
        Ok(serde_json::to_writer(out, self)?)
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let (digest, json) = text.split_at_checked(129).ok_or("it is cut short")?;
        // Threat 40: what the disk gives back is not believed.
        if digest != format!("{}\n", Digest::of(json)).as_bytes() {
            return Err("its digest does not match".to_owned());
        }
        let text: Text = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let step = |(kind, ino, path, mount, item): StepText<String>| {
            let kind = match kind {
                'p' => Kind::Put(ino),
                'f' => Kind::PutFolder,
                's' => Kind::Swap(ino),
                't' => Kind::Take,
                _ => return Err("it holds a step that this version does not know".to_owned()),
            };
            if mount >= text.mounts.len() {
                return Err("it names a mount that it does not list".to_owned());
            }
            let path = RelPath::new(&path).map_err(|error| error.to_string())?;
            Ok(Step { kind, path, mount, item })
        };
        let steps = text.steps.into_iter().map(step).collect::<Result<_, _>>()?;
        Ok(Self { number: text.number, mounts: text.mounts, steps })
    }
}

impl Serialize for Journal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = serializer.serialize_struct("Journal", 3)?;
        text.serialize_field("number", &self.number)?;
        text.serialize_field("mounts", &self.mounts)?;
        text.serialize_field("steps", &Steps(&self.steps))?;
        text.end()
    }
}

struct Steps<'a>(&'a [Step]);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|step| {
            let (kind, ino) = match step.kind {
                Kind::Put(ino) => ('p', ino),
                Kind::PutFolder => ('f', 0),
                Kind::Swap(ino) => ('s', ino),
                Kind::Take => ('t', 0),
            };
            let text: StepText<&str> = (kind, ino, step.path.as_str(), step.mount, step.item);
            text
        }))
    }
}

/// From here on the transaction is finished even if the machine stops.
pub(super) fn activate(workspace: &Workspace<'_>, number: u64) -> Result<()> {
    rename(workspace, &in_stage(number, PLAN), JOURNAL)?;
    sync(workspace)
}

/// From here on it is done.
pub(super) fn commit(workspace: &Workspace<'_>, number: u64) -> Result<()> {
    rename(workspace, JOURNAL, &in_stage(number, JOURNAL))?;
    sync(workspace)
}

/// From here on the transaction is taken back even if the machine stops; wherever its journal stands.
pub(super) fn mark_undo(workspace: &Workspace<'_>, number: u64) -> Result<()> {
    let moved = |from: &str| renameat(&workspace.root, from, &workspace.root, UNDO);
    match moved(JOURNAL).or_else(|_| moved(&in_stage(number, JOURNAL))) {
        Ok(()) => sync(workspace),
        Err(error) => Err(failed("mark", workspace.home.join(HIDDEN).join(UNDO))(error)),
    }
}

/// The transaction is taken back; its journal goes.
pub(super) fn forget(workspace: &Workspace<'_>) -> Result<()> {
    for name in [UNDO, JOURNAL] {
        match unlinkat(&workspace.root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed("remove", workspace.home.join(HIDDEN).join(name))(error)),
        }
    }
    Ok(())
}

/// From here on it decides nothing. What was done before is durable with it.
pub(super) fn set_aside(workspace: &Workspace<'_>, name: &str) -> Result<()> {
    let done = syncfs(&workspace.root)
        .and_then(|()| remove(workspace.root.as_fd(), DAMAGED))
        .and_then(|()| renameat(&workspace.root, name, &workspace.root, DAMAGED))
        .and_then(|()| fsync(&workspace.root));
    done.map_err(failed("set aside", workspace.home.join(HIDDEN).join(name)))
}

fn in_stage(number: u64, name: &str) -> String {
    format!("stage/{number}/{name}")
}

fn rename(workspace: &Workspace<'_>, from: &str, to: &str) -> Result<()> {
    let renamed = renameat(&workspace.root, from, &workspace.root, to);
    renamed.map_err(failed("rename", workspace.home.join(HIDDEN).join(from)))
}

fn sync(workspace: &Workspace<'_>) -> Result<()> {
    fsync(workspace.root.as_fd()).map_err(failed("sync", workspace.home.join(HIDDEN)))
}

fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

fn lasts(error: &io::Error) -> bool {
    [Errno::IO, Errno::ISDIR].iter().any(|lasting| error.raw_os_error() == Some(lasting.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let step = |kind, path: &str, item| Step { kind, path: RelPath::new(path).unwrap(), mount: 1, item };
        Journal {
            number: 7,
            mounts: vec![String::new(), "etc/ü".to_owned()],
            steps: vec![
                step(Kind::Take, "etc/a", 3),
                step(Kind::PutFolder, "etc/ü", 2),
                step(Kind::Put(u64::MAX), "etc/ü/b", 0),
                step(Kind::Swap(5), "etc/c", 1),
            ],
        }
    }

    fn text(journal: &Journal) -> Vec<u8> {
        let mut text = Vec::new();
        journal.write_to(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Journal::parse(&text(&journal())).unwrap(), journal());
    }

    #[test]
    fn threat_40_a_flipped_bit_or_a_cut_is_found() {
        let good = text(&journal());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(Journal::parse(&bad).is_err(), "{at}");
            assert!(Journal::parse(&good[..at]).is_err(), "{at}");
        }
    }
}
