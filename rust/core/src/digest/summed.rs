//! A writer that remembers the digest of what went through: content is summed without being kept.

use std::io::{self, Write};

use super::{Digest, Hasher};

/// Writes to `out` and hashes.
pub(crate) struct Summed<W> {
    out: W,
    sum: Hasher,
}

impl<W: Write> Summed<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, sum: Hasher::default() }
    }

    /// The writer, and the digest of all that was written to it so far.
    pub(crate) fn finish(self) -> (W, Digest) {
        (self.out, self.sum.finish())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.out.write(bytes)?;
        self.sum.update(&bytes[..size]);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
