//! How far a scan has come, for whoever watches it from another thread, and its end before its time.
//!
//! Nobody is called back and nothing is ordered by it: these are plain counters that the scanning threads add to, once
//! for a file that they read and once for each piece of those that they only stat.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Error, Result};

/// Counters of one scan; they may be read while it goes on.
#[derive(Debug, Default)]
pub struct ScanProgress {
    files: AtomicU64,
    bytes: AtomicU64,
    expected: AtomicU64,
    stopped: AtomicBool,
}

impl ScanProgress {
    /// Files that were looked at.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files that there were when somebody last looked; 0 if nobody knows. There may be more or fewer now.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// Says how many files there should be. A scan that loads the index says it itself.
    pub fn expect(&self, files: u64) {
        self.expected.store(files, Ordering::Relaxed);
    }

    /// Ends the scan soon: within a file of any size, or a piece of a folder. It fails, and keeps nothing.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn add_files(&self, files: usize) {
        self.files.fetch_add(files as u64, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// [`Error::Stopped`] once somebody has ended the scan.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_stopped() { Err(Error::Stopped) } else { Ok(()) }
    }
}
