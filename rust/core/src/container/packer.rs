//! A container in the making, pulled by its reader while threads compress ahead.
//!
//! The size rules of specification 4.3 are kept here, where the order is known. What is packed is
//! what lies there now, with its own digest and time in the metadata: entry and content agree even
//! if the file changed since the scan, and everything listed is present.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::produce::{BATCH, Fact, Piece, Producer, measure};
use super::source::{Refusal, Source};
use super::trailer::{self, Metadata};
use crate::beneath::Home;
use crate::ordered::{Queue, StopOnPanic};
use crate::{Entry, Error, FilesTable, Manifest, Plan, Result};

/// What a packer really put into its container.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// The plan as sent.
    pub plan: Arc<Plan>,
    /// Bytes of the container.
    pub size: u64,
    /// Path and reason of every file that waits for a later round.
    pub left_out: Vec<(String, String)>,
}

/// What becomes of a file of the plan.
#[derive(Clone, Copy)]
enum Fate {
    /// Packed, and listed with these facts.
    Listed(Fact),
    /// Not there any more.
    Gone,
    /// Not sent and not deleted; a later round finds it again.
    Waits,
}

enum Phase {
    Files,
    Metadata,
    Done,
}

/// Makes one container; [`Packer::read`] gives its bytes.
pub struct Packer {
    source: Option<Arc<Source>>,
    files: Arc<Vec<Entry>>,
    shared: Vec<bool>,
    fates: Vec<Fate>,
    extra: Vec<Entry>,
    metadata: Option<Metadata>,
    queue: Arc<Queue<Piece>>,
    threads: Vec<JoinHandle<()>>,
    limit: u64,
    level: u8,
    /// Bytes of the members so far; the metadata is not counted (4.3).
    counted: u64,
    skipping: bool,
    phase: Phase,
    ready: Vec<u8>,
    given: usize,
    packed: Packed,
}

/// How a container is packed.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Bytes of the container, its metadata apart (specification 4.3).
    pub limit: u64,
    /// Threads that compress; 0 means one for each core.
    pub threads: usize,
    /// zlib's level, 0 to 9.
    pub level: u8,
}

impl Default for Packing {
    fn default() -> Self {
        Self { limit: 1 << 30, threads: 0, level: 1 }
    }
}

impl Packer {
    /// A master's container: the files of `missing` and `shared` in the order of their paths, then the three groups.
    ///
    /// # Errors
    /// [`Error::Io`] if the home cannot be opened or no thread can be started.
    pub fn of_plan(home: &Path, table: &FilesTable, plan: &Plan, packing: Packing) -> Result<Self> {
        let Packing { limit, threads, level } = packing;
        let source = Arc::new(Source { home: Home::open(home)?, table: table.clone() });
        let missing = plan.missing.iter().map(|entry| (entry, false));
        let mut files: Vec<_> = missing.chain(plan.shared.iter().map(|entry| (entry, true))).collect();
        files.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let (files, shared): (Vec<_>, Vec<_>) =
            files.into_iter().map(|(entry, shared)| (entry.clone(), shared)).unzip();
        let mut packer = Self::new(files, shared, plan.extra.clone(), packing);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if threads == 0 { cores } else { threads };
        packer.source = Some(Arc::clone(&source));
        for _ in 0..threads.min(packer.files.len().div_ceil(BATCH)) {
            let (source, files, queue) = (Arc::clone(&source), Arc::clone(&packer.files), Arc::clone(&packer.queue));
            packer.start(move || Producer::new(&source, &files, &queue, limit, level).run())?;
        }
        Ok(packer)
    }

    /// A worker's container: its metadata only (specification 5.4). `home` stands in the entries of merged files.
    #[must_use]
    pub fn of_manifest(manifest: Arc<Manifest>, home: &str) -> Self {
        let mut packer = Self::new(Vec::new(), Vec::new(), Vec::new(), Packing::default());
        packer.metadata = Some(Metadata::Manifest(manifest, home.to_owned()));
        packer
    }

    fn new(files: Vec<Entry>, shared: Vec<bool>, extra: Vec<Entry>, packing: Packing) -> Self {
        Self {
            source: None,
            fates: vec![Fate::Waits; files.len()],
            queue: Arc::new(Queue::new(files.len().div_ceil(BATCH))),
            files: Arc::new(files),
            shared,
            extra,
            metadata: None,
            threads: Vec::new(),
            limit: packing.limit,
            level: packing.level,
            counted: 0,
            skipping: false,
            phase: Phase::Files,
            ready: Vec::new(),
            given: 0,
            packed: Packed::default(),
        }
    }

    /// The next bytes: `size` of them unless the container ends; empty at the end.
    ///
    /// # Errors
    /// [`Error::Io`] if a thread died or cannot be started; the container is of no use then.
    pub fn read(&mut self, size: usize) -> Result<Vec<u8>> {
        while self.ready.len() - self.given < size && !matches!(self.phase, Phase::Done) {
            if self.given > 0 {
                self.ready.drain(..self.given);
                self.given = 0;
            }
            self.advance()?;
        }
        let end = self.ready.len().min(self.given + size);
        let bytes = self.ready[self.given..end].to_vec();
        self.given = end;
        Ok(bytes)
    }

    /// What was packed; `None` until [`Self::read`] has returned everything.
    #[must_use]
    pub fn packed(&self) -> Option<&Packed> {
        (matches!(self.phase, Phase::Done) && self.given == self.ready.len()).then_some(&self.packed)
    }

    /// Stops the threads and frees what they made; [`Self::read`] is of no use afterwards.
    pub fn close(&mut self) {
        self.queue.stop();
        for thread in self.threads.drain(..) {
            // A thread that died has stopped the queue, which `advance` reports.
            let _ = thread.join();
        }
        self.phase = Phase::Done;
        (self.ready, self.given) = (Vec::new(), 0);
    }

    fn advance(&mut self) -> Result<()> {
        if let Some(piece) = self.queue.take() {
            self.take(piece);
            return Ok(());
        }
        if !self.queue.is_complete() {
            return Err(Error::io("pack", "the container")(std::io::Error::other("a packing thread died")));
        }
        match self.phase {
            Phase::Files => self.begin_metadata(),
            Phase::Metadata | Phase::Done => {
                self.phase = Phase::Done;
                self.fates = Vec::new();
                Ok(())
            }
        }
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Small(bytes, members) => self.take_small(&bytes, members),
            Piece::Begin(file, at_most) => self.begin_large(file, at_most),
            Piece::Part(part) if !self.skipping => self.append(&part),
            Piece::Part(_) => {}
            Piece::End(..) if std::mem::take(&mut self.skipping) => {}
            Piece::End(file, Ok(fact)) => self.fates[file] = Fate::Listed(fact),
            // The member is there and not listed, so its reader throws it away.
            Piece::End(file, Err(refusal)) | Piece::Refused(file, refusal) => self.refuse(file, refusal),
        }
    }

    fn take_small(&mut self, bytes: &[u8], members: Vec<(usize, usize, Fact)>) {
        let mut start = 0;
        for (file, end, fact) in members {
            if self.counted + (end - start) as u64 > self.limit {
                self.cut(file);
                return;
            }
            self.append(&bytes[start..end]);
            self.fates[file] = Fate::Listed(fact);
            start = end;
        }
    }

    /// A large member is streamed if it fits for certain; near the limit it is measured first.
    fn begin_large(&mut self, file: usize, at_most: u64) {
        let room = self.limit.saturating_sub(self.counted);
        let Some(source) = self.source.as_ref().filter(|_| at_most > room) else { return };
        match measure(source, &self.files[file].path, self.level) {
            Ok(size) if size <= room => {}
            Ok(_) => self.cut(file),
            Err(refusal) => {
                self.skipping = true;
                self.refuse(file, refusal);
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.ready.extend(bytes);
        let size = bytes.len() as u64;
        self.packed.size += size;
        if matches!(self.phase, Phase::Files) {
            self.counted += size;
        }
    }

    fn refuse(&mut self, file: usize, refusal: Refusal) {
        let path = self.files[file].path.to_string();
        match refusal {
            Refusal::Kept(why) => self.packed.left_out.push((path, why)),
            Refusal::Gone => {
                self.fates[file] = Fate::Gone;
                self.packed.left_out.push((path, "it is not there any more".to_owned()));
            }
        }
    }

    /// The limit is reached: this file and all that follow wait (4.3).
    fn cut(&mut self, from: usize) {
        self.queue.complete();
        let why = format!("the container has reached its limit of {} bytes", self.limit);
        // Some that follow may have been refused in the same job already.
        let refused: std::collections::HashSet<_> = self.packed.left_out.iter().map(|(path, _)| path.clone()).collect();
        let waiting = self.files[from..].iter().map(|entry| entry.path.to_string());
        let waiting: Vec<_> = waiting.filter(|path| !refused.contains(path)).map(|path| (path, why.clone())).collect();
        self.packed.left_out.extend(waiting);
    }

    fn begin_metadata(&mut self) -> Result<()> {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.phase = Phase::Metadata;
        let metadata = self.metadata.take().unwrap_or_else(|| {
            self.packed.plan = Arc::new(self.final_plan());
            Metadata::Plan(Arc::clone(&self.packed.plan))
        });
        (self.files, self.shared) = (Arc::default(), Vec::new());
        self.queue = Arc::new(Queue::new(1));
        let queue = Arc::clone(&self.queue);
        self.start(move || trailer::produce(&metadata, &queue))
    }

    fn final_plan(&mut self) -> Plan {
        let mut plan = Plan { extra: std::mem::take(&mut self.extra), ..Plan::default() };
        for ((entry, shared), fate) in self.files.iter().zip(&self.shared).zip(&self.fates) {
            match (fate, shared) {
                (Fate::Listed(fact), _) => {
                    let group = if *shared { &mut plan.shared } else { &mut plan.missing };
                    // The scan's time belongs to the scan's content.
                    let mod_time = if fact.digest == entry.digest { entry.mod_time } else { fact.mod_time };
                    group.push(Entry { digest: fact.digest, mod_time, ..entry.clone() });
                }
                (Fate::Gone, true) => plan.extra.push(entry.clone()),
                (Fate::Gone, false) | (Fate::Waits, _) => {}
            }
        }
        plan
    }

    fn start(&mut self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let queue = Arc::clone(&self.queue);
        let run = move || {
            let _guard = StopOnPanic(&queue);
            work();
        };
        let thread = std::thread::Builder::new().name("outrider-pack".to_owned()).spawn(run);
        self.threads.push(thread.map_err(Error::io("start a thread for", "the container"))?);
        Ok(())
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.close();
    }
}
