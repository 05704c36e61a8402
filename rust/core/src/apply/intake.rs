//! Contents into the stage: one thread unpacks, another hashes and writes. What a small buffer holds needs no other.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::stage::{Open, Staged, Stages};
use super::staged::StagedFiles;
use crate::{Digest, Error, Hasher, RelPath, Result};

/// One load of small files; their contents are hashed side by side.
const ARENA: usize = 1 << 20;
/// The first load, which is all there is of most changes: a thread and more memory would cost more than its files.
const FIRST: usize = 64 << 10;
/// Files up to this size go into an arena.
const ROOM: usize = ARENA / 2;
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
    fn of(size: usize) -> Self {
        Self { bytes: vec![0; size], used: 0, files: Vec::new() }
    }

    fn free(&self) -> usize {
        self.bytes.len() - self.used
    }
}

/// A file that will be staged: where it belongs, and its mode.
pub(super) struct Target {
    pub(super) path: RelPath,
    pub(super) mode: u32,
}

/// Runs `unpack`, which fills an [`Intake`], and stages what it fills.
pub(super) fn staged<T>(
    stages: &mut Stages<'_>,
    unpack: impl FnOnce(&mut Intake<'_, '_, '_>) -> Result<T>,
) -> Result<(T, StagedFiles)> {
    std::thread::scope(|scope| {
        let writer = Writer { stages, files: Vec::new() };
        let mut intake = Intake { scope, writer: Some(writer), beside: None, arena: Arena::of(FIRST) };
        let unpacked = unpack(&mut intake);
        intake.staged(unpacked)
    })
}

/// Takes unpacked files, small ones whole and large ones in parts.
pub(super) struct Intake<'scope, 'env, 'a> {
    scope: &'scope Scope<'scope, 'env>,
    /// As long as it has nothing to do.
    writer: Option<Writer<'env, 'a>>,
    /// From the first load on.
    beside: Option<Beside<'scope>>,
    arena: Arena,
}

/// The writer in a thread of its own.
struct Beside<'scope> {
    to_writer: SyncSender<Load>,
    used: Receiver<Arena>,
    thread: ScopedJoinHandle<'scope, Result<StagedFiles>>,
}

impl<'scope, 'a: 'scope> Intake<'scope, '_, 'a> {
    /// Room for a small file, which [`Self::small`] keeps.
    pub(super) fn room(&mut self) -> Result<&mut [u8]> {
        self.reserve(self.arena.bytes.len() / 2)
    }

    fn reserve(&mut self, size: usize) -> Result<&mut [u8]> {
        if self.arena.free() < size {
            self.send_arena()?;
        }
        if self.arena.free() < size {
            self.arena = Arena::of(ARENA);
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
    pub(super) fn end(&mut self) -> Result<()> {
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
            content.read_exact(&mut self.reserve(size)?[..size]).map_err(broken)?;
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
        let used = self.beside.as_ref().and_then(|beside| beside.used.try_recv().ok());
        let full = std::mem::replace(&mut self.arena, used.unwrap_or_else(|| Arena::of(ARENA)));
        self.send(Load::Small(full))
    }

    fn send(&mut self, load: Load) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.beside = Some(writer.beside(self.scope));
        }
        let gone = || Error::io("stage", "the files")(io::ErrorKind::BrokenPipe.into());
        let beside = self.beside.as_ref().ok_or_else(gone)?;
        beside.to_writer.send(load).map_err(|_| gone())
    }

    /// Stages what is left of what was unpacked, and waits for the writer.
    fn staged<T>(mut self, unpacked: Result<T>) -> Result<(T, StagedFiles)> {
        if let Some(mut writer) = self.writer.take() {
            let unpacked = unpacked?;
            writer.small(&mut self.arena)?;
            return Ok((unpacked, StagedFiles::new(writer.files)?));
        }
        let unpacked = unpacked.and_then(|unpacked| self.send_arena().map(|()| unpacked));
        let died = || Error::io("stage", "the files")(io::Error::other("the writing thread died"));
        let Beside { to_writer, thread, .. } = self.beside.take().ok_or_else(died)?;
        // The writer ends when nothing more can come.
        drop(to_writer);
        // If it failed, the other end saw no more than that it is gone.
        let files = thread.join().map_err(|_| died())??;
        Ok((unpacked?, files))
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

struct Writer<'env, 'a> {
    stages: &'env mut Stages<'a>,
    files: Vec<(RelPath, Staged)>,
}

impl<'env, 'a> Writer<'env, 'a> {
    /// Goes on in a thread of its own.
    fn beside<'scope>(mut self, scope: &'scope Scope<'scope, 'env>) -> Beside<'scope>
    where
        'a: 'scope,
    {
        let (to_writer, loads) = sync_channel(AHEAD);
        let (give_back, used) = channel();
        let work = move || self.run(&loads, &give_back).and_then(|()| StagedFiles::new(self.files));
        Beside { to_writer, used, thread: scope.spawn(work) }
    }

    fn run(&mut self, loads: &Receiver<Load>, give_back: &Sender<Arena>) -> Result<()> {
        while let Ok(load) = loads.recv() {
            match load {
                Load::Small(mut arena) => {
                    self.small(&mut arena)?;
                    // The other end may have read everything already.
                    let _ = give_back.send(arena);
                }
                Load::Begin(target) => self.large(target, loads)?,
                Load::Part(_) | Load::End => {}
            }
        }
        Ok(())
    }

    fn small(&mut self, arena: &mut Arena) -> Result<()> {
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
