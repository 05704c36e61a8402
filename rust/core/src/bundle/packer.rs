//! A bundle in the making, pulled by its reader while threads pack ahead in bounded memory.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::header::{Header, Line, Sent};
use super::work::{Changed, Late, Piece, Work, gone};
use super::{Contents, MAGIC, Op, SMALL, Step, changed, frames, fresh};
use crate::ordered::{Queue, StopOnPanic};
use crate::{Entry, Error, RelPath, Result};

/// How a bundle is packed.
#[derive(Clone, Copy, Debug)]
pub struct BundlePacking {
    /// Threads that pack; 0 means one for each core.
    pub threads: usize,
    /// zstd's level.
    pub level: i32,
}

impl Default for BundlePacking {
    /// Past level 3 trees gain little and time is lost.
    fn default() -> Self {
        Self { threads: 0, level: 3 }
    }
}

/// Makes one bundle; [`BundlePacker::read`] gives its bytes.
pub struct BundlePacker {
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
    ready: Vec<u8>,
    given: usize,
    complete: bool,
    unpacked: u64,
}

impl BundlePacker {
    /// Packs `step`: old versions come out of `old` where it keeps them, and everything else out of `new`.
    ///
    /// Each content is verified against its entry while it is packed.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a file of the step is not there, [`Error::Io`] if one cannot be read or no thread can be
    /// started.
    pub fn new(step: &Step, old: Arc<dyn Contents>, new: Arc<dyn Contents>, packing: BundlePacking) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if packing.threads == 0 { cores } else { packing.threads };
        let mut sorted = Sorted::default();
        step.ops.iter().try_for_each(|op| sorted.add(op, step, &*old, &*new))?;
        let Sorted { lines, changed, fresh } = sorted;
        let unpacked = changed.iter().map(|one| one.size).chain(fresh.iter().map(|(_, size)| *size)).sum();
        let header = Header { from: step.from, to: step.to, lines };
        let header = header.write().map_err(Error::io("write", "the bundle"))?;
        let ready = [MAGIC, frames::checked_frame(&header, packing.level)?.as_slice()].concat();
        let jobs = changed.len().div_ceil(super::work::BATCH);
        let work = Work {
            late: Late::new(jobs),
            // What is new comes last, and may turn out to be nothing.
            queue: Queue::new(jobs + 1),
            signatures: Arc::clone(&step.signatures),
            level: packing.level,
            threads: u32::try_from(threads).unwrap_or(1),
            old,
            new,
            changed,
            fresh,
        };
        let mut packer = Self { work: Arc::new(work), threads: Vec::new(), ready, given: 0, complete: false, unpacked };
        for _ in 0..threads.min(jobs + 1) {
            packer.start()?;
        }
        Ok(packer)
    }

    /// Bytes of the files that it brings, those that are patched whole; copies bring none.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// The next bytes: `size` of them unless the bundle ends; empty at the end.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a content is not what its entry says, [`Error::Io`] if it cannot be read or a thread died.
    /// What was read so far is of no use then.
    pub fn read(&mut self, size: usize) -> Result<Vec<u8>> {
        while self.ready.len() - self.given < size && !self.complete {
            if self.given > 0 {
                self.ready.drain(..self.given);
                self.given = 0;
            }
            self.advance()?;
        }
        let end = self.ready.len().min(self.given.saturating_add(size));
        let bytes = self.ready[self.given..end].to_vec();
        self.given = end;
        Ok(bytes)
    }

    /// Stops the threads and frees what they made; [`Self::read`] is of no use afterwards.
    pub fn close(&mut self) {
        self.work.queue.stop();
        for thread in self.threads.drain(..) {
            // A thread that died has stopped the queue, which `advance` reports.
            let _ = thread.join();
        }
        self.complete = true;
        (self.ready, self.given) = (Vec::new(), 0);
    }

    fn advance(&mut self) -> Result<()> {
        match self.work.queue.take() {
            Some(Piece::Bytes(bytes)) => self.ready.extend(bytes),
            Some(Piece::Failed(error)) => {
                self.close();
                return Err(error);
            }
            None if self.work.queue.is_complete() => self.complete = true,
            None => return Err(Error::io("pack", "the bundle")(std::io::Error::other("a packing thread died"))),
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        let work = Arc::clone(&self.work);
        let run = move || {
            let _guard = StopOnPanic(&work.queue);
            while let Some(job) = work.queue.job() {
                let last = job == work.changed_jobs();
                match if last { fresh::pack(&work, job) } else { changed::pack(&work, job) } {
                    Ok(true) => work.queue.finish(job),
                    Ok(false) => return,
                    Err(error) => {
                        work.queue.push(job, Piece::Failed(error), 0);
                        return;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("outrider-pack".to_owned()).spawn(run);
        self.threads.push(thread.map_err(Error::io("start a thread for", "the bundle"))?);
        Ok(())
    }
}

impl Drop for BundlePacker {
    fn drop(&mut self) {
        self.close();
    }
}

/// A step by how its contents travel.
#[derive(Default)]
struct Sorted {
    lines: Vec<Line>,
    changed: Vec<Changed>,
    fresh: Vec<(Entry, u64)>,
}

impl Sorted {
    fn add(&mut self, op: &Op, step: &Step, old: &dyn Contents, new: &dyn Contents) -> Result<()> {
        let sent = match op {
            Op::New(entry) => self.new_file(entry, new)?,
            Op::Patch(entry, before) => {
                let size = size(entry, new)?;
                let kept = match before {
                    Some(before) => old.size(before)?.map(|size| (before.clone(), size)),
                    None => None,
                };
                let chunks = step.signatures.get(&entry.path).is_some();
                if kept.is_none() && !(chunks && size > SMALL / 8) {
                    self.new_file(entry, new)?
                } else {
                    let rule = Arc::clone(&entry.rule);
                    let sent = if kept.is_some() { Sent::Patch(rule, size) } else { Sent::Rebuild(rule, size) };
                    self.changed.push(Changed { entry: entry.clone(), size, old: kept });
                    sent
                }
            }
            Op::Copy(entry, source) => Sent::Copy(Arc::clone(&entry.rule), source.clone()),
            Op::Delete(_) => Sent::Delete,
            Op::Keep(_) => Sent::Keep,
        };
        let path: RelPath = op.path().clone();
        self.lines.push(Line { path, sent });
        Ok(())
    }

    fn new_file(&mut self, entry: &Entry, new: &dyn Contents) -> Result<Sent> {
        let size = size(entry, new)?;
        self.fresh.push((entry.clone(), size));
        Ok(Sent::New(Arc::clone(&entry.rule), size))
    }
}

fn size(entry: &Entry, new: &dyn Contents) -> Result<u64> {
    new.size(entry)?.ok_or_else(|| gone(entry))
}
