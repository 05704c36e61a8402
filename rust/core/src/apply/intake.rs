//! Contents into the stage: one thread unpacks, another hashes and writes.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::stage::{Open, Staged, Stages};
use super::staged::StagedFiles;
use crate::{Digest, Error, Hasher, RelPath, Result};

/// One load of small files; their contents are hashed side by side.
const ARENA: usize = 1 << 20;
/// Files up to this size go into an arena, which is sent off when less than this is free.
const ROOM: usize = 512 << 10;
/// Parts of a large file.
const PART: usize = 256 << 10;
/// Loads and parts on their way.
const AHEAD: usize = 2;

/// What goes from thread to thread.
enum Load {
    Small(Arena),
    Begin(Target),
    Part(Vec<u8>),
    End,
}

struct Arena {
    bytes: Vec<u8>,
    used: usize,
    files: Vec<(Target, Range<usize>)>,
}

impl Arena {
    fn new() -> Self {
        Self { bytes: vec![0; ARENA], used: 0, files: Vec::new() }
    }
}

/// A file that will be staged: where it belongs, and its mode.
pub(super) struct Target {
    pub(super) path: RelPath,
    pub(super) mode: u32,
}

/// Runs `unpack`, which fills an [`Intake`], beside a thread that stages what it fills.
pub(super) fn staged<T>(
    stages: &mut Stages<'_>,
    unpack: impl FnOnce(&mut Intake) -> Result<T>,
) -> Result<(T, StagedFiles)> {
    let (to_writer, loads) = sync_channel(AHEAD);
    let (give_back, used) = channel();
    let (unpacked, written) = std::thread::scope(|scope| {
        let mut writer = Writer { stages, files: Vec::new(), give_back };
        let writer = scope.spawn(move || writer.run(&loads).and_then(|()| StagedFiles::new(writer.files)));
        let mut intake = Intake { to_writer, used, arena: Arena::new() };
        let unpacked = unpack(&mut intake).and_then(|unpacked| intake.send_arena().map(|()| unpacked));
        // The writer ends when nothing more can come.
        drop(intake);
        (unpacked, writer.join())
    });
    let died = || Error::io("stage", "the files")(io::Error::other("the writing thread died"));
    // If the writer failed, the other end saw no more than that it is gone.
    let files = written.map_err(|_| died())??;
    Ok((unpacked?, files))
}

/// Takes unpacked files, small ones whole and large ones in parts.
pub(super) struct Intake {
    to_writer: SyncSender<Load>,
    used: Receiver<Arena>,
    arena: Arena,
}

impl Intake {
    /// Room for a small file, which [`Self::small`] keeps.
    pub(super) fn room(&mut self) -> Result<&mut [u8]> {
        if self.arena.bytes.len() - self.arena.used < ROOM {
            self.send_arena()?;
        }
        Ok(&mut self.arena.bytes[self.arena.used..])
    }

    /// Keeps the first `size` bytes of the room as a file.
    pub(super) fn small(&mut self, target: Target, size: usize) {
        let start = self.arena.used;
        self.arena.used += size;
        self.arena.files.push((target, start..start + size));
    }

    /// Begins a file that comes in parts.
    pub(super) fn begin(&mut self, target: Target) -> Result<()> {
        self.send_arena()?;
        self.send(Load::Begin(target))
    }

    /// Takes what `read` gives until it gives nothing: more of the file that was begun.
    pub(super) fn parts(&mut self, mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<()> {
        loop {
            let part = next_part(&mut read)?;
            if part.is_empty() {
                return Ok(());
            }
            self.send(Load::Part(part))?;
        }
    }

    /// Ends the file that was begun.
    pub(super) fn end(&self) -> Result<()> {
        self.send(Load::End)
    }

    /// A whole file of exactly `size` bytes; `broken` says what a failed read means.
    pub(super) fn file(
        &mut self,
        target: Target,
        size: u64,
        content: &mut impl Read,
        broken: impl Fn(io::Error) -> Error,
    ) -> Result<()> {
        if size <= ROOM as u64 {
            let size = usize::try_from(size).unwrap_or(ROOM);
            content.read_exact(&mut self.room()?[..size]).map_err(broken)?;
            self.small(target, size);
            return Ok(());
        }
        self.begin(target)?;
        self.exactly(size, content, broken)?;
        self.end()
    }

    /// So many bytes, no fewer, of the file that was begun.
    pub(super) fn exactly(
        &mut self,
        size: u64,
        content: &mut impl Read,
        broken: impl Fn(io::Error) -> Error,
    ) -> Result<()> {
        let mut content = content.take(size);
        self.parts(|room| content.read(room).map_err(&broken))?;
        if content.limit() == 0 { Ok(()) } else { Err(broken(io::ErrorKind::UnexpectedEof.into())) }
    }

    fn send_arena(&mut self) -> Result<()> {
        if self.arena.files.is_empty() {
            return Ok(());
        }
        // Written memory is cheaper than fresh memory.
        let empty = self.used.try_recv().unwrap_or_else(|_| Arena::new());
        let full = std::mem::replace(&mut self.arena, empty);
        self.send(Load::Small(full))
    }

    fn send(&self, load: Load) -> Result<()> {
        let gone = |_| Error::io("stage", "the files")(io::ErrorKind::BrokenPipe.into());
        self.to_writer.send(load).map_err(gone)
    }
}

fn next_part(read: &mut impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut part = vec![0; PART];
    let mut used = 0;
    while used < PART {
        match read(&mut part[used..])? {
            0 => break,
            size => used += size,
        }
    }
    part.truncate(used);
    Ok(part)
}

struct Writer<'a, 'b> {
    stages: &'a mut Stages<'b>,
    files: Vec<(RelPath, Staged)>,
    give_back: Sender<Arena>,
}

impl Writer<'_, '_> {
    fn run(&mut self, loads: &Receiver<Load>) -> Result<()> {
        while let Ok(load) = loads.recv() {
            match load {
                Load::Small(arena) => self.small(arena)?,
                Load::Begin(target) => self.large(target, loads)?,
                Load::Part(_) | Load::End => {}
            }
        }
        Ok(())
    }

    fn small(&mut self, mut arena: Arena) -> Result<()> {
        let contents: Vec<&[u8]> = arena.files.iter().map(|(_, range)| &arena.bytes[range.clone()]).collect();
        let digests = Digest::of_many(&contents);
        for ((target, range), digest) in arena.files.drain(..).zip(digests) {
            let (open, mut file) = self.stages.create(target.path.folder())?;
            if !range.is_empty() {
                self.stages.write(open, &mut file, &arena.bytes[range])?;
            }
            self.keep(target, open, &file, digest)?;
        }
        arena.used = 0;
        // The other end may have read everything already.
        let _ = self.give_back.send(arena);
        Ok(())
    }

    fn large(&mut self, target: Target, loads: &Receiver<Load>) -> Result<()> {
        let (open, mut file) = self.stages.create(target.path.folder())?;
        let mut hasher = Hasher::default();
        while let Ok(Load::Part(part)) = loads.recv() {
            hasher.update(&part);
            self.stages.write(open, &mut file, &part)?;
        }
        self.keep(target, open, &file, hasher.finish())
    }

    fn keep(&mut self, target: Target, open: Open, file: &File, digest: Digest) -> Result<()> {
        let staged = self.stages.seal(open, file, target.mode, digest)?;
        self.files.push((target.path, staged));
        Ok(())
    }
}
