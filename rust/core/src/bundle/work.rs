//! What the threads of a packer share: the contents, what is to be done, and what came late.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Contents;
use crate::chunk::Signatures;
use crate::ordered::Queue;
use crate::{Digest, Entry, Error, Result};

/// Changed files of one job.
pub(super) const BATCH: usize = 64;

/// What threads push.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// The bundle ends here: its contents cannot be had.
    Failed(Error),
}

/// A file that changed.
pub(super) struct Changed {
    pub(super) entry: Entry,
    pub(super) size: u64,
    /// The old version and its size; `None` if its chunks are known instead.
    pub(super) old: Option<(Entry, u64)>,
}

pub(super) struct Work {
    pub(super) old: Arc<dyn Contents>,
    pub(super) new: Arc<dyn Contents>,
    pub(super) signatures: Arc<Signatures>,
    pub(super) changed: Vec<Changed>,
    pub(super) fresh: Vec<(Entry, u64)>,
    pub(super) late: Late,
    pub(super) queue: Queue<Piece>,
    pub(super) level: i32,
    pub(super) threads: u32,
}

impl Work {
    /// Jobs of changed files; the one job after them carries what is new.
    pub(super) fn changed_jobs(&self) -> usize {
        self.changed.len().div_ceil(BATCH)
    }

    /// Adds bytes to a job; false if nobody wants them.
    pub(super) fn push(&self, job: usize, bytes: Vec<u8>) -> bool {
        let size = bytes.len();
        bytes.is_empty() || self.queue.push(job, Piece::Bytes(bytes), size)
    }

    /// Opens the new version of a file.
    pub(super) fn open_new(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        self.new.open(entry)?.ok_or_else(|| gone(entry))
    }

    /// Appends the new version of a small file, which the caller verifies.
    pub(super) fn read_new(&self, entry: &Entry, size: u64, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        // One byte more tells that it grew.
        let read = self.open_new(entry)?.take(size + 1).read_to_end(out);
        read.map_err(Error::io("read", entry.path.as_str()))?;
        if (out.len() - start) as u64 == size { Ok(()) } else { Err(changing(entry)) }
    }
}

pub(super) fn gone(entry: &Entry) -> Error {
    Error::Conflict { path: entry.path.to_string(), why: "it is not there any more; look at the tree again".to_owned() }
}

pub(super) fn changing(entry: &Entry) -> Error {
    let why = "it changed while it was read; look at the tree again".to_owned();
    Error::Conflict { path: entry.path.to_string(), why }
}

/// Whether contents are what their entries say.
pub(super) fn verify<'a>(contents: &[&[u8]], entries: impl Iterator<Item = &'a Entry>) -> Result<()> {
    let wrong = Digest::of_many(contents).into_iter().zip(entries).find(|(digest, entry)| *digest != entry.digest);
    wrong.map_or(Ok(()), |(_, entry)| Err(changing(entry)))
}

/// Changed files whose patches do not pay, once every job has said so.
pub(super) struct Late {
    state: Mutex<State>,
    done: Condvar,
}

struct State {
    jobs_left: usize,
    files: Vec<usize>,
}

impl Late {
    pub(super) fn new(jobs: usize) -> Self {
        Self { state: Mutex::new(State { jobs_left: jobs, files: Vec::new() }), done: Condvar::new() }
    }

    /// A job that may add to it; done when the guard goes, also by a panic.
    pub(super) fn job(&self) -> Job<'_> {
        Job(self)
    }

    /// Waits for all jobs: the files that come late, in order.
    pub(super) fn wait(&self) -> Vec<usize> {
        let mut state = self.lock();
        while state.jobs_left > 0 {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.files.sort_unstable();
        std::mem::take(&mut state.files)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Job<'a>(&'a Late);

impl Job<'_> {
    pub(super) fn add(&self, file: usize) {
        self.0.lock().files.push(file);
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.0.lock().jobs_left -= 1;
        self.0.done.notify_all();
    }
}
