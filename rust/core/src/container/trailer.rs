//! The last member: the metadata JSON, written in segments while it is being compressed.

use std::io::{self, Write};
use std::sync::Arc;

use libdeflater::Adler32;

use super::encode::{self, Encoder, SEGMENT};
use super::produce::Piece;
use super::{METADATA, PATH_SEP};
use crate::ordered::Queue;
use crate::{Manifest, Plan};

/// What the metadata says.
pub(super) enum Metadata {
    /// A master's three groups.
    Plan(Arc<Plan>),
    /// A worker's own tree, and where it lies.
    Manifest(Arc<Manifest>, String),
}

/// Pushes the whole member as the only job of `queue`.
pub(super) fn produce(metadata: &Metadata, queue: &Queue<Piece>) {
    let Some(job) = queue.job() else { return };
    let mut packed = [METADATA.as_bytes(), PATH_SEP].concat();
    encode::begin(&mut packed);
    let mut out = Segments {
        queue,
        job,
        raw: Vec::with_capacity(SEGMENT),
        packed,
        encoder: Encoder::new(1),
        sum: Adler32::new(),
    };
    let written = match metadata {
        Metadata::Plan(plan) => plan.write_wire(&mut out),
        Metadata::Manifest(manifest, home) => manifest.write_wire(&mut out, home),
    };
    // The only failure is that nobody reads any more.
    if written.and_then(|()| out.flush()).is_err() {
        return;
    }
    encode::finish(&out.sum, &mut out.packed);
    let size = out.packed.len();
    if queue.push(job, Piece::Part(out.packed), size) {
        queue.finish(job);
    }
}

struct Segments<'a> {
    queue: &'a Queue<Piece>,
    job: usize,
    raw: Vec<u8>,
    packed: Vec<u8>,
    encoder: Encoder,
    sum: Adler32,
}

impl Write for Segments<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = bytes.len().min(SEGMENT - self.raw.len());
        self.raw.extend(&bytes[..size]);
        if self.raw.len() == SEGMENT {
            self.flush()?;
        }
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sum.update(&self.raw);
        self.encoder.segment(&self.raw, &mut self.packed);
        self.raw.clear();
        let size = self.packed.len();
        if self.queue.push(self.job, Piece::Part(std::mem::take(&mut self.packed)), size) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}
