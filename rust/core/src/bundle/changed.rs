//! Packing changed files: small ones by the batch, large ones segment by segment, unknown ones by chunks.

use std::io::Read;
use std::ops::Range;

use super::SMALL;
use super::frames::{NO_FRAME, PatchEncoder, StreamEncoder};
use super::recipe::Recipe;
use super::segments::segments;
use super::work::{BATCH, Changed, Job, Work, changing, verify};
use crate::chunk::cut;
use crate::{Digest, Entry, Error, Hasher, Result};

/// The arenas are emptied when they hold this much.
const ARENA: usize = 2 << 20;
/// A patch this many times smaller than its file pays whatever else could be done.
const PAYS: usize = 8;

/// Pushes the records of one job's files; false if nobody wants them.
pub(super) fn pack(work: &Work, job: usize) -> Result<bool> {
    let late = work.late.job();
    let mut batch = Batch::default();
    for (file, changed) in work.changed.iter().enumerate().skip(job * BATCH).take(BATCH) {
        let Some((old, old_size)) = &changed.old else {
            if !(batch.flush(work, job, &late)? && rebuild(work, job, changed)?) {
                return Ok(false);
            }
            continue;
        };
        if changed.size.max(*old_size) > SMALL {
            if !(batch.flush(work, job, &late)? && large(work, job, changed, old, *old_size)?) {
                return Ok(false);
            }
            continue;
        }
        batch.add(work, file, changed, old, *old_size)?;
        if batch.old.len() + batch.new.len() > ARENA && !batch.flush(work, job, &late)? {
            return Ok(false);
        }
    }
    batch.flush(work, job, &late)
}

/// Small files that wait to be hashed side by side and patched with one context.
#[derive(Default)]
struct Batch {
    old: Vec<u8>,
    new: Vec<u8>,
    /// The file, and where its versions lie; the old one is `None` if it cannot be had after all.
    files: Vec<(usize, Option<Range<usize>>, Range<usize>)>,
}

impl Batch {
    fn add(&mut self, work: &Work, file: usize, changed: &Changed, old: &Entry, old_size: u64) -> Result<()> {
        let start = self.old.len();
        let content = work.old.open(old)?;
        let read = content.map(|content| content.take(old_size + 1).read_to_end(&mut self.old));
        let whole = matches!(read, Some(Ok(size)) if size as u64 == old_size);
        if !whole {
            self.old.truncate(start);
        }
        let begin = self.new.len();
        work.read_new(&changed.entry, changed.size, &mut self.new)?;
        self.files.push((file, whole.then_some(start..self.old.len()), begin..self.new.len()));
        Ok(())
    }

    fn flush(&mut self, work: &Work, job: usize, late: &Job<'_>) -> Result<bool> {
        let Self { old, new, files } = std::mem::take(self);
        if files.is_empty() {
            return Ok(true);
        }
        let contents: Vec<&[u8]> = files.iter().map(|(_, _, range)| &new[range.clone()]).collect();
        verify(&contents, files.iter().map(|(file, ..)| &work.changed[*file].entry))?;
        let olds: Vec<&[u8]> = files.iter().map(|(_, range, _)| range.clone().map_or(&[][..], |at| &old[at])).collect();
        let digests = Digest::of_many(&olds);
        let mut encoder = PatchEncoder::new(work.level)?;
        let mut out = Vec::new();
        for (((file, range, _), digest), (old, new)) in files.iter().zip(digests).zip(olds.into_iter().zip(contents)) {
            let known =
                range.is_some() && work.changed[*file].old.as_ref().is_some_and(|(old, _)| old.digest == digest);
            if !(known && patch(&mut encoder, old, new, &mut out)?) {
                out.push(NO_FRAME);
                late.add(*file);
            }
        }
        Ok(work.push(job, out))
    }
}

/// Appends the patch of one small file if it pays.
fn patch<'a>(encoder: &mut PatchEncoder<'a>, old: &'a [u8], new: &[u8], out: &mut Vec<u8>) -> Result<bool> {
    let start = out.len();
    out.extend_from_slice(encoder.frame(old, new)?);
    let size = out.len() - start;
    if size * PAYS > new.len() && size * 4 > encoder.frame(&[], new)?.len() * 3 {
        out.truncate(start);
        return Ok(false);
    }
    Ok(true)
}

/// A large file, segment by segment.
fn large(work: &Work, job: usize, changed: &Changed, old: &Entry, old_size: u64) -> Result<bool> {
    let entry = &changed.entry;
    let mut window = Window::new(work.old.open(old)?);
    let (mut content, mut sum) = (work.open_new(entry)?, Hasher::default());
    for (part, prefix) in segments(old_size, changed.size) {
        let mut new = Vec::new();
        let size = part.end - part.start;
        (&mut content).take(size).read_to_end(&mut new).map_err(Error::io("read", entry.path.as_str()))?;
        if new.len() as u64 != size {
            return Err(changing(entry));
        }
        sum.update(&new);
        let mut encoder = PatchEncoder::new(work.level)?;
        let frame = encoder.frame(window.slide(old, prefix)?, &new)?.to_vec();
        if !work.push(job, frame) {
            return Ok(false);
        }
    }
    let grew = content.read(&mut [0]).map_err(Error::io("read", entry.path.as_str()))? != 0;
    if grew || sum.finish() != entry.digest {
        return Err(changing(entry));
    }
    window.finish(old, old_size)?;
    Ok(true)
}

/// The part of an old version that is the prefix, read from front to back.
struct Window {
    content: Option<Box<dyn Read + Send>>,
    sum: Hasher,
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// Of nothing if the content cannot be had after all: a frame without a prefix is read as well with one.
    fn new(content: Option<Box<dyn Read + Send>>) -> Self {
        Self { content, sum: Hasher::default(), bytes: Vec::new(), start: 0 }
    }

    fn slide(&mut self, old: &Entry, to: Range<u64>) -> Result<&[u8]> {
        if self.content.is_none() {
            return Ok(&[]);
        }
        self.read_to(old, to.end)?;
        let leaving = usize::try_from(to.start.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes.drain(..leaving.min(self.bytes.len()));
        self.start = to.start;
        Ok(&self.bytes)
    }

    fn read_to(&mut self, old: &Entry, end: u64) -> Result<()> {
        let Some(content) = &mut self.content else { return Ok(()) };
        let (known, wanted) = (self.bytes.len(), end.saturating_sub(self.start + self.bytes.len() as u64));
        content.take(wanted).read_to_end(&mut self.bytes).map_err(Error::io("read", old.path.as_str()))?;
        self.sum.update(&self.bytes[known..]);
        Ok(())
    }

    /// Whether all of it was what the entry says; a wrong prefix would only be found at the far end.
    fn finish(mut self, old: &Entry, size: u64) -> Result<()> {
        const STRIDE: u64 = 1 << 20;
        while self.content.is_some() && self.start + (self.bytes.len() as u64) < size {
            let end = size.min(self.start + self.bytes.len() as u64 + STRIDE);
            let before = self.bytes.len();
            self.read_to(old, end)?;
            if self.bytes.len() == before {
                break;
            }
            self.start += self.bytes.len() as u64;
            self.bytes.clear();
        }
        if self.content.is_none() || self.sum.finish() == old.digest { Ok(()) } else { Err(changing(old)) }
    }
}

/// A file whose old version only the receiver has.
fn rebuild(work: &Work, job: usize, changed: &Changed) -> Result<bool> {
    let entry = &changed.entry;
    let mut recipe = Recipe::new(work.signatures.get(&entry.path).unwrap_or_default());
    let mut encoder = StreamEncoder::new(work.level, changed.size, 1)?;
    let (mut sum, mut size, mut wanted, mut out) = (Hasher::default(), 0, true, Vec::new());
    let content = work.open_new(entry)?;
    let done = cut(content, |chunk, bytes| {
        sum.update(bytes);
        size += bytes.len() as u64;
        out.clear();
        recipe.chunk(chunk, bytes, &mut out)?;
        wanted = wanted && encoder.write(&out, |part| work.push(job, part)).map_err(std::io::Error::other)?;
        // Nobody wants it: the quickest way out of the cutting.
        if wanted { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
    });
    if !wanted {
        return Ok(false);
    }
    done.map_err(|error| error.downcast::<Error>().unwrap_or_else(Error::io("read", entry.path.as_str())))?;
    out.clear();
    recipe.finish(&mut out).map_err(Error::io("pack", entry.path.as_str()))?;
    encoder.write(&out, |part| work.push(job, part))?;
    if size != changed.size || sum.finish() != entry.digest {
        return Err(changing(entry));
    }
    encoder.finish(|part| work.push(job, part))
}
