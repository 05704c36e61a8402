//! Contents of a tree into a generation's file: read, verified and compressed by several threads.
//!
//! Small ones are gathered, hashed side by side and compressed in memory; a thread takes the file only to
//! append what is ready, so contents lie there in no special order. A large one is streamed while the other
//! threads wait for the file. Memory is a few times [`IN_MEMORY`] for each thread, whatever the tree holds.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use zstd::bulk::Compressor;
use zstd::stream::write::Encoder;

use super::pack::IN_MEMORY;
use super::writer::{Bounded, Writer};
use crate::{Contents, Digest, Entry, Error, Hasher, Result};

/// Files that a thread takes at once.
const BATCH: usize = 32;
/// How much a thread gathers before it compresses and appends.
const GATHERED: usize = 1 << 20;
/// More threads than this wait for the disk.
const THREADS: usize = 4;
const LEVEL: i32 = 3;

/// Copies the content of each of `wanted` into `writer`, as far as it has room.
///
/// [`Error::Conflict`] if a file does not hold what its entry says: it changed after it was looked at.
pub(super) fn copy(wanted: &[&Entry], source: &dyn Contents, writer: &mut Writer<'_>) -> Result<()> {
    let shared = Shared { wanted, source, writer: Mutex::new(writer), next: AtomicUsize::new(0) };
    let cores = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let threads = cores.min(wanted.len().div_ceil(BATCH));
    if threads < 2 {
        return Copier::new(&shared).and_then(Copier::run);
    }
    thread::scope(|scope| {
        let work = || Copier::new(&shared).and_then(Copier::run);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        // Every thread is waited for, whatever the first one says.
        done.collect::<Vec<_>>().into_iter().collect()
    })
}

/// What all threads see.
struct Shared<'a, 'w> {
    wanted: &'a [&'a Entry],
    source: &'a dyn Contents,
    writer: Mutex<&'a mut Writer<'w>>,
    next: AtomicUsize,
}

impl<'w> Shared<'_, 'w> {
    fn write<T>(&self, work: impl FnOnce(&mut Writer<'w>) -> Result<T>) -> Result<T> {
        work(&mut self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One thread's state.
struct Copier<'s, 'a, 'w> {
    shared: &'s Shared<'a, 'w>,
    compressor: Compressor<'static>,
    arena: Vec<u8>,
    gathered: Vec<(&'a Entry, Range<usize>)>,
}

impl<'s, 'a, 'w> Copier<'s, 'a, 'w> {
    fn new(shared: &'s Shared<'a, 'w>) -> Result<Self> {
        let compressor = Compressor::new(LEVEL).map_err(Error::io("start", "zstd"))?;
        Ok(Self { shared, compressor, arena: Vec::new(), gathered: Vec::new() })
    }

    /// Works until nothing is left. After a failure the others find nothing left either.
    fn run(mut self) -> Result<()> {
        let wanted = self.shared.wanted;
        loop {
            let from = self.shared.next.fetch_add(BATCH, Ordering::Relaxed).min(wanted.len());
            let batch = &wanted[from..wanted.len().min(from + BATCH)];
            let done = batch.iter().try_for_each(|entry| self.file(entry)).and_then(|()| self.flush());
            if done.is_err() {
                self.shared.next.store(wanted.len(), Ordering::Relaxed);
            }
            if done.is_err() || batch.is_empty() {
                return done;
            }
        }
    }

    fn file(&mut self, entry: &'a Entry) -> Result<()> {
        let mut content = self.shared.source.open(entry)?.ok_or_else(|| changed(entry))?;
        let start = self.arena.len();
        let read = (&mut content).take(IN_MEMORY + 1).read_to_end(&mut self.arena);
        if read.map_err(Error::io("read", entry.path.as_str()))? as u64 > IN_MEMORY {
            let large = self.large(entry, start, content);
            self.arena.truncate(start);
            return large;
        }
        self.gathered.push((entry, start..self.arena.len()));
        if self.arena.len() < GATHERED { Ok(()) } else { self.flush() }
    }

    /// Verifies, compresses and appends what was gathered.
    fn flush(&mut self) -> Result<()> {
        let contents: Vec<&[u8]> = self.gathered.iter().map(|(_, range)| &self.arena[range.clone()]).collect();
        let digests = Digest::of_many(&contents);
        if let Some(((entry, _), _)) =
            self.gathered.iter().zip(digests).find(|((entry, _), digest)| entry.digest != *digest)
        {
            return Err(changed(entry));
        }
        let (mut frames, mut ends) = (Vec::with_capacity(self.arena.len() / 2), Vec::with_capacity(contents.len()));
        for content in contents {
            let frame = self.compressor.compress(content).map_err(Error::io("compress with", "zstd"))?;
            frames.extend_from_slice(&frame);
            ends.push(frames.len());
        }
        self.shared.write(|writer| {
            let mut start = 0;
            for ((entry, range), end) in self.gathered.iter().zip(&ends) {
                writer.frame(entry.digest, range.len() as u64, &frames[start..*end])?;
                start = *end;
            }
            Ok(())
        })?;
        self.gathered.clear();
        self.arena.clear();
        // One large content must not hold its memory until the end.
        self.arena.shrink_to(2 * GATHERED);
        Ok(())
    }

    /// A content whose beginning lies in the arena from `start` on.
    fn large(&self, entry: &Entry, start: usize, mut rest: Box<dyn Read + Send>) -> Result<()> {
        let beginning = &self.arena[start..];
        self.shared.write(|writer| {
            writer.streamed(|out| {
                let read = stream(beginning.chain(&mut rest), out).map_err(Error::io("copy", entry.path.as_str()))?;
                match read {
                    Some((digest, size)) if digest == entry.digest => Ok((digest, size)),
                    Some(_) => Err(changed(entry)),
                    // Nobody keeps it, so nobody asks what it was.
                    None => Ok((entry.digest, 0)),
                }
            })
        })
    }
}

/// Compresses; digest and size of what was read, `None` if there was no room for it.
fn stream(mut content: impl Read, out: &mut Bounded<'_>) -> io::Result<Option<(Digest, u64)>> {
    let (mut encoder, mut sum, mut size) = (Encoder::new(out, LEVEL)?, Hasher::default(), 0);
    let mut part = vec![0; GATHERED];
    loop {
        let read = content.read(&mut part)?;
        if read == 0 {
            encoder.finish()?;
            return Ok(Some((sum.finish(), size)));
        }
        if encoder.get_ref().is_full() {
            return Ok(None);
        }
        sum.update(&part[..read]);
        encoder.write_all(&part[..read])?;
        size += read as u64;
    }
}

fn changed(entry: &Entry) -> Error {
    let why = "it changed while it was read; look at the tree again".to_owned();
    Error::Conflict { path: entry.path.to_string(), why }
}
