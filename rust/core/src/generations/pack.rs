//! One generation's file, open: its contents by digest, and its record. Nothing is believed (threat 40).
//!
//! In memory a content costs 8 bytes, the beginning of its digest; the rest is read when it is asked for.
//! What turns out to be wrong counts as not there from then on, and is told to who counts such finds.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use zstd::stream::read::Decoder;

use super::layout::{CHECK, KEY, ROW, Row, TRAILER, Trailer, key_of};
use crate::digest::of_parts;
use crate::{Digest, Hasher};

/// Up to this size a content is handled in memory at once.
pub(super) const IN_MEMORY: u64 = 8 << 20;
/// Of the windows that our own frames ask for.
const WINDOW_LOG: u32 = 23;

pub(crate) struct Pack {
    file: File,
    pub(super) trailer: Trailer,
    /// Bytes of the file.
    pub(super) length: u64,
    keys: Vec<u64>,
    lost: Mutex<BTreeSet<usize>>,
}

/// What asking for a content found.
pub(crate) enum Found {
    Nothing,
    Damage,
    Content(Box<dyn Read + Send>),
}

impl Pack {
    /// Reads trailer and keys; `None` if the file is not whole.
    pub(crate) fn open(file: File) -> Option<Self> {
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        let mut bytes = [0; TRAILER];
        read_at(&file, &mut bytes, length.checked_sub(TRAILER as u64)?).ok()?;
        let trailer = Trailer::from_bytes(&bytes, length)?;
        let keys = checked(&file, trailer.keys_at()?..trailer.record_at)?;
        let (keys, _) = keys.as_chunks::<KEY>();
        let keys = keys.iter().map(|key| u64::from_be_bytes(*key)).collect();
        Some(Self { file, trailer, length, keys, lost: Mutex::default() })
    }

    /// Whether a content of this digest seems to be here.
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.places(digest).any(|place| !self.is_lost(place))
    }

    /// How many contents there are, those that are lost included.
    pub(crate) fn count(&self) -> usize {
        self.keys.len()
    }

    /// The rows that may be of this digest.
    pub(super) fn places(&self, digest: &Digest) -> Range<usize> {
        let key = key_of(digest);
        let start = self.keys.partition_point(|other| *other < key);
        let equal = self.keys[start..].iter().take_while(|other| **other == key).count();
        start..start + equal
    }

    /// The size of this content.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        self.find(digest).ok()?.map(|(_, row)| row.size)
    }

    /// This content, verified as a whole before its first byte is handed out.
    pub(crate) fn content(self: &Arc<Self>, digest: &Digest) -> Found {
        let (place, row) = match self.find(digest) {
            Ok(Some(found)) => found,
            Ok(None) => return Found::Nothing,
            Err(()) => return Found::Damage,
        };
        let content = if row.size <= IN_MEMORY { self.small(&row) } else { self.large(&row) };
        content.map_or_else(
            || {
                self.lose(place);
                Found::Damage
            },
            Found::Content,
        )
    }

    /// The row of each content that is not lost, by its place.
    pub(crate) fn rows(&self) -> Vec<(usize, Row)> {
        (0..self.keys.len()).filter_map(|place| Some((place, self.row(place)?))).collect()
    }

    /// A frame as it stands on disk, to be copied.
    pub(super) fn frame(self: &Arc<Self>, row: &Row) -> impl Read + use<> {
        Section { pack: Arc::clone(self), at: row.offset, end: row.offset.saturating_add(row.stored) }
    }

    /// The record's bytes, if they are what was written.
    pub(crate) fn record(&self) -> Option<Vec<u8>> {
        checked(&self.file, self.trailer.record_at..self.length - TRAILER as u64)
    }

    /// `Err`: what stands here is damaged, and lost from now on.
    fn find(&self, digest: &Digest) -> Result<Option<(usize, Row)>, ()> {
        for place in self.places(digest).filter(|place| !self.is_lost(*place)) {
            match self.row(place) {
                Some(row) if row.digest == *digest => return Ok(Some((place, row))),
                Some(_) => {}
                None => {
                    self.lose(place);
                    return Err(());
                }
            }
        }
        Ok(None)
    }

    fn row(&self, place: usize) -> Option<Row> {
        let mut bytes = [0; ROW];
        let at = self.trailer.rows_at + (place * ROW) as u64;
        read_at(&self.file, &mut bytes, at).ok()?;
        let row = Row::from_bytes(&bytes).filter(|row| Some(&key_of(&row.digest)) == self.keys.get(place))?;
        let end = row.offset.checked_add(row.stored)?;
        (end <= self.trailer.rows_at && !self.is_lost(place)).then_some(row)
    }

    fn is_lost(&self, place: usize) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&place)
    }

    fn lose(&self, place: usize) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
    }

    fn small(&self, row: &Row) -> Option<Box<dyn Read + Send>> {
        let stored = usize::try_from(row.stored).ok()?;
        let mut frame = vec![0; stored];
        read_at(&self.file, &mut frame, row.offset).ok()?;
        let content = zstd::bulk::decompress(&frame, usize::try_from(row.size).ok()?).ok()?;
        let right = content.len() as u64 == row.size && Digest::of(&content) == row.digest;
        right.then(|| Box::new(Cursor::new(content)) as Box<dyn Read + Send>)
    }

    /// Read twice: once to know that it is right, once to hand it out.
    fn large(self: &Arc<Self>, row: &Row) -> Option<Box<dyn Read + Send>> {
        io::copy(&mut self.unpacking(row).ok()?, &mut io::sink()).ok()?;
        Some(Box::new(self.unpacking(row).ok()?))
    }

    fn unpacking(self: &Arc<Self>, row: &Row) -> io::Result<Unpacking> {
        let mut decoder = Decoder::new(self.frame(row))?.single_frame();
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Unpacking { decoder: Box::new(decoder), left: row.size, digest: row.digest, sum: Some(Hasher::default()) })
    }
}

/// Asks a disk that refuses once more: what counts as damaged is given up for good.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(bytes, at).or_else(|_| file.read_exact_at(bytes, at))
}

/// The bytes of a section without the checksum at their end, if that is theirs.
fn checked(file: &File, section: Range<u64>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(section.end.checked_sub(section.start)?).ok()?];
    read_at(file, &mut bytes, section.start).ok()?;
    let (body, check) = bytes.split_last_chunk::<CHECK>()?;
    let right = of_parts(body).0 == *check;
    let length = body.len();
    bytes.truncate(length);
    right.then_some(bytes)
}

/// Part of the file, read from any thread.
struct Section {
    pack: Arc<Pack>,
    at: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(out.len());
        let read = self.pack.file.read_at(&mut out[..left], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A large content on its way out; at its end it is an error if it is not what was asked for.
struct Unpacking {
    decoder: Box<dyn Read + Send>,
    left: u64,
    digest: Digest,
    sum: Option<Hasher>,
}

impl Read for Unpacking {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(out)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a kept content is damaged");
        self.left = self.left.checked_sub(read as u64).ok_or_else(damaged)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&out[..read]);
        }
        if read == 0
            && !out.is_empty()
            && let Some(sum) = self.sum.take()
            && (self.left > 0 || sum.finish() != self.digest)
        {
            return Err(damaged());
        }
        Ok(read)
    }
}
