//! Pieces made by several threads, taken by one in the order of the jobs, in bounded memory.
//!
//! A producer takes a job and pushes its pieces; it waits while too much lies ready. The producer of
//! the job that is being taken may always go on a little, so nobody waits for a thread that waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may lie ready in all.
const READY: usize = 8 << 20;
/// Bytes that the job being taken may have ready, whatever the others have.
const FRONT: usize = 2 << 20;

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    room: Condvar,
}

struct State<T> {
    jobs: usize,
    /// The next job to hand to a producer.
    next: usize,
    /// The job being taken; `open[0]` is its.
    front: usize,
    open: VecDeque<Job<T>>,
    bytes: usize,
    stopped: bool,
}

struct Job<T> {
    pieces: VecDeque<(T, usize)>,
    bytes: usize,
    done: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(jobs: usize) -> Self {
        let state = State { jobs, next: 0, front: 0, open: VecDeque::new(), bytes: 0, stopped: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), room: Condvar::new() }
    }

    /// A producer's next job, `None` if there is none.
    pub(crate) fn job(&self) -> Option<usize> {
        let mut state = self.lock();
        if state.stopped || state.next == state.jobs {
            return None;
        }
        state.next += 1;
        state.open.push_back(Job { pieces: VecDeque::new(), bytes: 0, done: false });
        Some(state.next - 1)
    }

    /// Adds a piece of `bytes` bytes to a job; false if nobody wants it any more.
    pub(crate) fn push(&self, job: usize, piece: T, bytes: usize) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return false;
            }
            let at = job - state.front;
            if state.bytes < READY || (at == 0 && state.open[0].bytes < FRONT) {
                state.open[at].pieces.push_back((piece, bytes));
                state.open[at].bytes += bytes;
                state.bytes += bytes;
                if at == 0 {
                    self.ready.notify_one();
                }
                return true;
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A producer has pushed all pieces of a job.
    pub(crate) fn finish(&self, job: usize) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        let at = job - state.front;
        state.open[at].done = true;
        if at == 0 {
            self.ready.notify_one();
        }
    }

    /// The next piece in order; `None` when all jobs are done, or stopped.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.front == state.jobs {
                return None;
            }
            let found = state.open.front_mut().and_then(|job| {
                let found = job.pieces.pop_front();
                job.bytes -= found.as_ref().map_or(0, |(_, bytes)| *bytes);
                found
            });
            if let Some((piece, bytes)) = found {
                state.bytes -= bytes;
                self.room.notify_all();
                return Some(piece);
            }
            if state.open.front().is_some_and(|job| job.done) {
                state.open.pop_front();
                state.front += 1;
                self.room.notify_all();
                continue;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more is wanted: producers stop, what lies ready is freed.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.open.clear();
        self.ready.notify_all();
        self.room.notify_all();
    }

    /// Whether every job was taken to its end.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.lock();
        state.front == state.jobs
    }

    /// The taker itself has enough: stopped, and yet complete.
    pub(crate) fn complete(&self) {
        self.stop();
        let mut state = self.lock();
        state.front = state.jobs;
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that dies must not leave the taker waiting.
pub(crate) struct StopOnPanic<'a, T>(pub(crate) &'a Queue<T>);

impl<T> Drop for StopOnPanic<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_the_order_of_the_jobs_and_memory_stays_bounded() {
        let queue = Queue::new(64);
        let most = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(job) = queue.job() {
                        for part in 0..5 {
                            assert!(queue.push(job, (job, part), 1 << 20));
                        }
                        queue.finish(job);
                    }
                });
            }
            let mut most = 0;
            for job in 0..64 {
                for part in 0..5 {
                    most = most.max(queue.lock().bytes);
                    assert_eq!(queue.take(), Some((job, part)));
                }
            }
            assert_eq!(queue.take(), None);
            most
        });
        assert!(most <= READY + 4 * FRONT, "{most}");
    }

    #[test]
    fn a_stop_releases_those_who_wait() {
        let queue = Queue::new(2);
        std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let job = queue.job().unwrap();
                while queue.push(job, (), 1 << 20) {}
                queue.finish(job);
                queue.job()
            });
            assert_eq!(queue.take(), Some(()));
            queue.stop();
            assert_eq!(producer.join().unwrap(), None);
            assert_eq!(queue.take(), None);
        });
    }
}
