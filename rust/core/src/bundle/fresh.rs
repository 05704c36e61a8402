//! Packing what is new: one solid frame, since files of a tree resemble one another.

use std::io::Read;

use super::SMALL;
use super::frames::StreamEncoder;
use super::work::{Work, changing, verify};
use crate::{Entry, Error, Hasher, Result};

/// Small files are gathered up to this much and hashed side by side; large ones come in parts of this size.
const ARENA: usize = 1 << 20;

/// Pushes the frame as one job; false if nobody wants it.
pub(super) fn pack(work: &Work, job: usize) -> Result<bool> {
    let size = work.fresh.iter().map(|(_, size)| size).sum();
    let mut fresh = Fresh { work, job, encoder: None, arena: Vec::new(), gathered: Vec::new(), size };
    for (entry, size) in &work.fresh {
        if !fresh.file(entry, *size)? {
            return Ok(false);
        }
    }
    for file in work.late.wait() {
        let changed = &work.changed[file];
        if !fresh.file(&changed.entry, changed.size)? {
            return Ok(false);
        }
    }
    fresh.finish()
}

struct Fresh<'a> {
    work: &'a Work,
    job: usize,
    /// Begun with the first content: a bundle without any has no such frame.
    encoder: Option<StreamEncoder>,
    arena: Vec<u8>,
    gathered: Vec<(&'a Entry, usize)>,
    size: u64,
}

impl<'a> Fresh<'a> {
    fn file(&mut self, entry: &'a Entry, size: u64) -> Result<bool> {
        if size > SMALL {
            return Ok(self.flush()? && self.large(entry, size)?);
        }
        self.work.read_new(entry, size, &mut self.arena)?;
        self.gathered.push((entry, self.arena.len()));
        Ok(self.arena.len() < ARENA || self.flush()?)
    }

    fn flush(&mut self) -> Result<bool> {
        if self.gathered.is_empty() {
            return Ok(true);
        }
        let starts = std::iter::once(0).chain(self.gathered.iter().map(|(_, end)| *end));
        let contents: Vec<&[u8]> =
            starts.zip(&self.gathered).map(|(start, (_, end))| &self.arena[start..*end]).collect();
        verify(&contents, self.gathered.iter().map(|(entry, _)| *entry))?;
        let arena = std::mem::take(&mut self.arena);
        let go_on = self.write(&arena)?;
        self.gathered.clear();
        self.arena = arena;
        self.arena.clear();
        Ok(go_on)
    }

    fn large(&mut self, entry: &Entry, size: u64) -> Result<bool> {
        let (mut content, mut sum, mut left) = (self.work.open_new(entry)?, Hasher::default(), size);
        let mut part = Vec::with_capacity(ARENA);
        loop {
            part.clear();
            let read = (&mut content).take((ARENA as u64).min(left + 1)).read_to_end(&mut part);
            let read = read.map_err(Error::io("read", entry.path.as_str()))? as u64;
            if read == 0 && left == 0 {
                return if sum.finish() == entry.digest { Ok(true) } else { Err(changing(entry)) };
            }
            left = left.checked_sub(read).filter(|_| read > 0).ok_or_else(|| changing(entry))?;
            sum.update(&part);
            if !self.write(&part)? {
                return Ok(false);
            }
        }
    }

    fn write(&mut self, content: &[u8]) -> Result<bool> {
        let Self { work, job, size, .. } = *self;
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => StreamEncoder::new(work.level, size, work.threads)?,
        };
        let go_on = encoder.write(content, |part| work.push(job, part))?;
        self.encoder = Some(encoder);
        Ok(go_on)
    }

    fn finish(mut self) -> Result<bool> {
        if !self.flush()? {
            return Ok(false);
        }
        let (work, job) = (self.work, self.job);
        self.encoder.map_or(Ok(true), |encoder| encoder.finish(|part| work.push(job, part)))
    }
}
