//! Where a bundle's bytes wait between the one that receives them and the one that applies them.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes on their way: the receiver writes, an apply reads, each in its own thread and in bounded memory.
#[derive(Clone)]
pub struct BundleFeed(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct State {
    parts: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The writer is done; or why it gave up.
    ended: Option<Result<(), String>>,
    /// Nobody reads any more.
    gone: bool,
}

impl BundleFeed {
    /// That holds at most about `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), capacity }))
    }

    /// Adds bytes, waiting while there is no room; false if nobody reads any more.
    #[must_use]
    pub fn write(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        while !state.gone && state.bytes >= self.0.capacity {
            state = self.wait(state);
        }
        if state.gone || state.ended.is_some() {
            return false;
        }
        if !bytes.is_empty() {
            state.parts.push_back(bytes.to_vec());
            state.bytes += bytes.len();
            self.0.changed.notify_all();
        }
        true
    }

    /// All bytes were written.
    pub fn finish(&self) {
        self.end(Ok(()));
    }

    /// No more will come: the apply ends with this reason, and changes nothing.
    pub fn fail(&self, why: &str) {
        self.end(Err(why.to_owned()));
    }

    /// The reading end. When it is dropped, writers are told.
    #[must_use]
    pub fn reader(&self) -> FeedReader {
        FeedReader { feed: self.clone(), part: Vec::new(), at: 0 }
    }

    fn end(&self, how: Result<(), String>) {
        self.lock().ended.get_or_insert(how);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a feed.
pub struct FeedReader {
    feed: BundleFeed,
    part: Vec<u8>,
    at: usize,
}

impl Read for FeedReader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.at == self.part.len() {
            let mut state = self.feed.lock();
            self.part = loop {
                if let Some(Err(why)) = &state.ended {
                    return Err(io::Error::other(why.clone()));
                }
                if let Some(part) = state.parts.pop_front() {
                    break part;
                }
                if state.ended.is_some() {
                    return Ok(0);
                }
                state = self.feed.wait(state);
            };
            state.bytes -= self.part.len();
            self.at = 0;
            self.feed.0.changed.notify_all();
        }
        let size = room.len().min(self.part.len() - self.at);
        room[..size].copy_from_slice(&self.part[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

impl Drop for FeedReader {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.gone = true;
        state.parts.clear();
        self.feed.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_through_little_room() {
        let feed = BundleFeed::new(10);
        let sent: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        std::thread::scope(|scope| {
            let mut reader = feed.reader();
            scope.spawn(|| {
                assert!(sent.chunks(7).all(|part| feed.write(part)));
                feed.finish();
            });
            let mut got = Vec::new();
            reader.read_to_end(&mut got).unwrap();
            assert_eq!(got, sent);
        });
    }

    #[test]
    fn each_end_is_told_that_the_other_gave_up() {
        let feed = BundleFeed::new(10);
        let mut reader = feed.reader();
        assert!(feed.write(b"some"));
        feed.fail("the connection ended");
        assert!(!feed.write(b"more"));
        assert_eq!(reader.read(&mut [0; 9]).unwrap_err().to_string(), "the connection ended");
        let feed = BundleFeed::new(1);
        let reader = feed.reader();
        assert!(feed.write(b"full"));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| feed.write(b"waits"));
            drop(reader);
            assert!(!writer.join().unwrap());
        });
    }
}
