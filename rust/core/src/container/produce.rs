//! What a packing thread does: read, hash, compress, push.
//!
//! Small files are gathered in one arena and hashed side by side; a large one is streamed.

use std::io::Read;
use std::ops::Range;

use libdeflater::Adler32;

use super::encode::{self, Encoder, SEGMENT};
use super::source::{Opened, Refusal, Source};
use super::{FILE_SEP, PATH_SEP};
use crate::ordered::Queue;
use crate::{Digest, Entry, Hasher, RelPath};

/// Files of one job.
pub(super) const BATCH: usize = 64;
/// Up to this size a file is compressed at once; the arena is emptied when it holds as much.
const SMALL: u64 = 1 << 20;

/// What is known of a file that was packed.
#[derive(Clone, Copy)]
pub(super) struct Fact {
    pub(super) digest: Digest,
    pub(super) mod_time: f64,
}

/// What threads push, in the order of the files.
pub(super) enum Piece {
    /// Whole members: for each its file, and where it ends in the bytes.
    Small(Vec<u8>, Vec<(usize, usize, Fact)>),
    /// A large member begins; it will take at most so many bytes.
    Begin(usize, u64),
    /// More of the large member.
    Part(Vec<u8>),
    /// The large member ended. Refused: what was written is not one version of the file.
    End(usize, Result<Fact, Refusal>),
    /// A file is not packed.
    Refused(usize, Refusal),
}

/// One thread's state.
pub(super) struct Producer<'a> {
    source: &'a Source,
    files: &'a [Entry],
    queue: &'a Queue<Piece>,
    limit: u64,
    encoder: Encoder,
    arena: Vec<u8>,
    gathered: Vec<(usize, Range<usize>, f64)>,
}

impl<'a> Producer<'a> {
    pub(super) fn new(source: &'a Source, files: &'a [Entry], queue: &'a Queue<Piece>, limit: u64, level: u8) -> Self {
        Self { source, files, queue, limit, encoder: Encoder::new(level), arena: Vec::new(), gathered: Vec::new() }
    }

    /// Works until there is nothing left or nobody wants it.
    pub(super) fn run(mut self) {
        while let Some(job) = self.queue.job() {
            let end = self.files.len().min((job + 1) * BATCH);
            for file in job * BATCH..end {
                if !self.file(job, file) {
                    return;
                }
            }
            if !self.flush(job) {
                return;
            }
            self.queue.finish(job);
        }
    }

    fn file(&mut self, job: usize, file: usize) -> bool {
        match self.gather(job, file) {
            Ok(go_on) => go_on,
            Err(refusal) => self.queue.push(job, Piece::Refused(file, refusal), 0),
        }
    }

    fn gather(&mut self, job: usize, file: usize) -> Result<bool, Refusal> {
        let path = &self.files[file].path;
        let opened = self.source.open(path)?;
        if opened.size() > self.limit {
            return Err(Refusal::Kept(format!("it is larger than the limit of {} bytes", self.limit)));
        }
        if opened.size() > SMALL {
            return Ok(self.flush(job) && self.large(job, file, opened));
        }
        let start = self.arena.len();
        let mod_time = self.source.read_whole(path, opened, &mut self.arena)?;
        self.gathered.push((file, start..self.arena.len(), mod_time));
        Ok(self.arena.len() as u64 <= SMALL || self.flush(job))
    }

    /// Hashes, compresses and pushes what was gathered.
    fn flush(&mut self, job: usize) -> bool {
        if self.gathered.is_empty() {
            return true;
        }
        let contents: Vec<&[u8]> = self.gathered.iter().map(|(_, range, _)| &self.arena[range.clone()]).collect();
        let digests = Digest::of_many(&contents);
        let mut bytes = Vec::with_capacity(self.arena.len() / 2);
        let mut members = Vec::with_capacity(contents.len());
        for ((content, digest), (file, _, mod_time)) in contents.iter().zip(digests).zip(&self.gathered) {
            begin_member(&self.files[*file].path, &mut bytes);
            self.encoder.whole(content, &mut bytes);
            members.push((*file, bytes.len(), Fact { digest, mod_time: *mod_time }));
        }
        self.gathered.clear();
        self.arena.clear();
        let size = bytes.len();
        self.queue.push(job, Piece::Small(bytes, members), size)
    }

    fn large(&mut self, job: usize, file: usize, opened: Opened) -> bool {
        let path = &self.files[file].path;
        let at_most = (path.as_str().len() + PATH_SEP.len() + FILE_SEP.len()) as u64 + encode::bound(opened.size());
        let mut go_on = self.queue.push(job, Piece::Begin(file, at_most), 0);
        let packed = pack_large(path, opened, &mut self.encoder, |part| {
            let size = part.len();
            go_on = go_on && self.queue.push(job, Piece::Part(part), size);
            go_on
        });
        go_on && self.queue.push(job, Piece::End(file, packed), 0)
    }
}

/// The size of a large file's member, by packing it for nobody.
pub(super) fn measure(source: &Source, path: &RelPath, level: u8) -> Result<u64, Refusal> {
    let mut size = 0;
    pack_large(path, source.open(path)?, &mut Encoder::new(level), |part| {
        size += part.len() as u64;
        true
    })?;
    Ok(size)
}

/// A large file as a member, part by part. The member is well-formed even if the file is refused.
fn pack_large(
    path: &RelPath,
    mut opened: Opened,
    encoder: &mut Encoder,
    mut put: impl FnMut(Vec<u8>) -> bool,
) -> Result<Fact, Refusal> {
    let (mut hasher, mut sum) = (Hasher::default(), Adler32::new());
    let mut out = Vec::new();
    begin_member(path, &mut out);
    encode::begin(&mut out);
    let mut left = opened.size();
    let mut raw = Vec::with_capacity(SEGMENT);
    let fault = loop {
        raw.clear();
        match (&mut opened.file).take(left.min(SEGMENT as u64)).read_to_end(&mut raw) {
            Ok(0) => break None,
            Ok(size) => left -= size as u64,
            Err(error) => break Some(Refusal::from(error)),
        }
        hasher.update(&raw);
        sum.update(&raw);
        encoder.segment(&raw, &mut out);
        if !put(std::mem::take(&mut out)) {
            break None;
        }
    };
    encode::finish(&sum, &mut out);
    out.extend(FILE_SEP);
    put(out);
    match fault {
        Some(fault) => Err(fault),
        None if left == 0 && opened.unchanged()? => Ok(Fact { digest: hasher.finish(), mod_time: opened.mod_time() }),
        None => Err(Refusal::changing()),
    }
}

pub(super) fn begin_member(path: &RelPath, out: &mut Vec<u8>) {
    out.extend(path.as_str().as_bytes());
    out.extend(PATH_SEP);
}
