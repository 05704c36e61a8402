//! A container into the stage: one thread inflates, another hashes and writes.
//!
//! Nothing is known of a member until the metadata, which is usually the last; so every file of a
//! table folder is staged under a number, and judged later.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::stage::{Open, Staged, Stages};
use super::staged::StagedFiles;
use super::workspace::HIDDEN;
use crate::container::{Content, METADATA, Reader, no_metadata, twice};
use crate::{Budget, Digest, Error, FilesTable, Hasher, Plan, RelPath, Result};

/// One load of small files; their contents are hashed side by side.
const ARENA: usize = 1 << 20;
/// A member is tried whole only while this much of the arena is free.
const ROOM: usize = 512 << 10;
/// Parts of a large file.
const PART: usize = 256 << 10;
/// Loads and parts on their way.
const AHEAD: usize = 2;

/// What a container held.
pub(super) struct Unpacked {
    pub(super) plan: Plan,
    pub(super) files: StagedFiles,
}

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

struct Target {
    path: RelPath,
    mode: u32,
}

/// Unpacks `source` into the stages.
pub(super) fn unpack(
    source: impl Read,
    budget: Budget,
    table: &FilesTable,
    stages: &mut Stages<'_>,
) -> Result<Unpacked> {
    let (to_writer, loads) = sync_channel(AHEAD);
    let (give_back, used) = channel();
    let (plan, written) = std::thread::scope(|scope| {
        let mut writer = Writer { stages, files: Vec::new(), give_back };
        let writer = scope.spawn(move || writer.run(&loads).and_then(|()| StagedFiles::new(writer.files)));
        let mut inflater = Inflater { table, to_writer, used, arena: Arena::new() };
        let plan = inflater.run(Reader::new(source, budget));
        // The writer ends when nothing more can come.
        drop(inflater);
        (plan, writer.join())
    });
    let died = || Error::io("stage", "the container")(std::io::Error::other("the writing thread died"));
    // If the writer failed, the other end saw no more than that it is gone.
    let files = written.map_err(|_| died())??;
    Ok(Unpacked { plan: plan?, files })
}

struct Inflater<'a> {
    table: &'a FilesTable,
    to_writer: SyncSender<Load>,
    used: Receiver<Arena>,
    arena: Arena,
}

impl Inflater<'_> {
    fn run(&mut self, mut reader: Reader<impl Read>) -> Result<Plan> {
        let mut plan = None;
        while let Some(name) = reader.next_name()? {
            if name == METADATA {
                let limit = reader.metadata_bytes();
                let mut content = reader.content(limit);
                if plan.replace(Plan::read_wire(&mut content)?).is_some() {
                    return Err(twice());
                }
                content.finish()?;
                continue;
            }
            let path = admitted(&name)?;
            if let Some(rule) = self.table.rule_for(&path) {
                self.file(&mut reader, Target { path, mode: rule.permissions })?;
            } else {
                // No plan can list it.
                let limit = reader.file_bytes();
                reader.content(limit).finish()?;
            }
        }
        self.send_arena()?;
        plan.ok_or_else(no_metadata)
    }

    fn file(&mut self, reader: &mut Reader<impl Read>, target: Target) -> Result<()> {
        if self.arena.bytes.len() - self.arena.used < ROOM {
            self.send_arena()?;
        }
        let start = self.arena.used;
        if let Some(size) = reader.content_at_once(&mut self.arena.bytes[start..])? {
            self.arena.used += size;
            self.arena.files.push((target, start..start + size));
            return Ok(());
        }
        self.send_arena()?;
        self.send(Load::Begin(target))?;
        let limit = reader.file_bytes();
        let mut content = reader.content(limit);
        loop {
            let part = next_part(&mut content)?;
            if part.is_empty() {
                break;
            }
            self.send(Load::Part(part))?;
        }
        content.finish()?;
        self.send(Load::End)
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
        let gone = |_| Error::io("stage", "the container")(std::io::ErrorKind::BrokenPipe.into());
        self.to_writer.send(load).map_err(gone)
    }
}

fn next_part(content: &mut Content<'_, impl Read>) -> Result<Vec<u8>> {
    let mut part = vec![0; PART];
    let mut used = 0;
    while used < PART {
        match content.unpack(&mut part[used..])? {
            0 => break,
            size => used += size,
        }
    }
    part.truncate(used);
    Ok(part)
}

/// A path of a peer that may be written to at all.
pub(super) fn admitted(name: &str) -> Result<RelPath> {
    if name.split('/').any(|component| component == HIDDEN) {
        return Err(Error::BadPath { path: name.to_owned(), why: "it lies in a folder that is the node's own" });
    }
    RelPath::new(name)
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

impl Arena {
    fn new() -> Self {
        Self { bytes: vec![0; ARENA], used: 0, files: Vec::new() }
    }
}
