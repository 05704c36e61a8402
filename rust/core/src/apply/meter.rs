//! How much a bundle may unpack to, measured while it does (threat 27).

use std::io::{self, Read};

use crate::bundle::unframe::FrameReader;
use crate::container::{FILE_SETTING, METADATA_SETTING, RATIO_SETTING, TOTAL_SETTING};
use crate::{Budget, Error, Result};

/// Counts what comes out against what came in.
pub(super) struct Meter {
    budget: Budget,
    /// Bytes that were declared or copied.
    total: u64,
    /// Bytes that came out of frames.
    unpacked: u64,
    /// Bytes of old versions that went in beside the frames.
    old: u64,
}

impl Meter {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, total: 0, unpacked: 0, old: 0 }
    }

    /// Takes a file of this size out of the budget, before a byte of it is written.
    pub(super) fn declare(&mut self, path: &str, size: u64) -> Result<()> {
        let Budget { file_bytes, total_bytes, .. } = self.budget;
        if size > file_bytes {
            let what = format!("the size of {path}");
            return Err(Error::Limit { what, limit: file_bytes, setting: FILE_SETTING });
        }
        self.total = self.total.saturating_add(size);
        if self.total > total_bytes {
            let what = "the unpacked size of the bundle".to_owned();
            return Err(Error::Limit { what, limit: total_bytes, setting: TOTAL_SETTING });
        }
        Ok(())
    }

    /// An old version of this size is known to both ends: so much more may come out.
    pub(super) fn know(&mut self, size: u64) {
        self.old += size;
    }

    fn unpack(&mut self, size: usize, consumed: u64) -> Result<()> {
        self.unpacked += size as u64;
        let limit = (self.old + self.budget.free_of_ratio()).saturating_add(consumed.saturating_mul(self.budget.ratio));
        if self.unpacked > limit {
            let what = "what a bundle of its size unpacks to".to_owned();
            return Err(Error::Limit { what, limit, setting: RATIO_SETTING });
        }
        Ok(())
    }
}

/// A header's frame: one that goes on beyond its limit is told so, and not that it ends there.
pub(super) struct Bounded<'f, 'c, R> {
    pub(super) frame: FrameReader<'f, 'c, R>,
    pub(super) left: u64,
    pub(super) limit: u64,
}

impl<R: Read> Read for Bounded<'_, '_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let size = self.frame.read(room)?;
        self.left = self.left.checked_sub(size as u64).ok_or_else(|| {
            let what = "the header of the bundle".to_owned();
            io::Error::other(Error::Limit { what, limit: self.limit, setting: METADATA_SETTING })
        })?;
        Ok(size)
    }
}

/// A frame's content, measured.
pub(super) struct Metered<'m, 'f, 'c, R> {
    pub(super) frame: FrameReader<'f, 'c, R>,
    pub(super) meter: &'m mut Meter,
}

impl<R: Read> Read for Metered<'_, '_, '_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let size = self.frame.read(room)?;
        self.meter.unpack(size, self.frame.consumed()).map_err(io::Error::other)?;
        Ok(size)
    }
}
