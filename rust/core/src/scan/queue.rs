//! What is still to be looked at, shared by the threads of one scan.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::RelPath;
use crate::index::Kept;

/// A piece of work.
pub(super) enum Job<'a> {
    /// List a folder.
    Folder(Folder),
    /// Look at some files of a listed folder.
    Piece(Piece<'a>),
}

/// A folder below the home, without its trailing slash, and the row of the table that led there.
pub(super) struct Folder {
    pub path: RelPath,
    pub rule: usize,
}

/// Some files of one folder, sorted by path.
pub(super) struct Piece<'a> {
    /// The open folder, shared by all of its pieces.
    pub handle: Arc<OwnedFd>,
    pub rule: usize,
    pub files: Vec<Candidate<'a>>,
}

/// A file, or a link to one, that a folder holds.
pub(super) struct Candidate<'a> {
    pub path: RelPath,
    pub is_link: bool,
    /// What the index says about it.
    pub known: Option<Kept<'a>>,
}

/// A stack of jobs; empty for good once no job is left and no thread can add one.
pub(super) struct Queue<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    folders: Vec<Folder>,
    pieces: Vec<Piece<'a>>,
    running: usize,
}

impl<'a> Queue<'a> {
    pub(super) fn new(folders: Vec<Folder>) -> Self {
        Self { state: Mutex::new(State { folders, ..State::default() }), changed: Condvar::new() }
    }

    pub(super) fn push(&self, job: Job<'a>) {
        let mut state = self.lock();
        match job {
            Job::Folder(folder) => state.folders.push(folder),
            Job::Piece(piece) => state.pieces.push(piece),
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next job, waiting for one; `None` when there will be no more. Each job ends with [`Queue::done`].
    ///
    /// Pieces go first: each keeps a folder open, so few of them may wait.
    pub(super) fn take(&self) -> Option<(Job<'a>, Running<'_, 'a>)> {
        let mut state = self.lock();
        loop {
            let job = state.pieces.pop().map(Job::Piece).or_else(|| state.folders.pop().map(Job::Folder));
            if let Some(job) = job {
                state.running += 1;
                return Some((job, Running(self)));
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that runs, and may still add others. A thread that panics lets it go as well, so that no other waits.
pub(super) struct Running<'q, 'a>(&'q Queue<'a>);

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running -= 1;
        if state.running == 0 {
            self.0.changed.notify_all();
        }
    }
}
