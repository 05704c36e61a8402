//! The fixed parts of a generation's file: its rows and its trailer.
//!
//! ```text
//! frames    one zstd frame for each content, one behind the other
//! rows      for each content, sorted by digest: digest 64, offset 8, stored 8, size 8, check 8
//! keys      the first 8 bytes of each row's digest, then the checksum of them all
//! record    the manifest, whole or as changes, then its checksum
//! trailer   magic 8, number 8, base 8, chain 8, changes 8, time 8, files 8, contents 8, rows at 8,
//!           record at 8, lineage 16, root 64, check 64
//! ```
//!
//! Numbers are little-endian; a check is BLAKE2b-512 of what stands before it, the one of a row cut to 8
//! bytes. A file without a whole trailer is no generation, so one that was cut at any byte is found at once.

use crate::Digest;

pub(super) const ROW: usize = 96;
pub(super) const KEY: usize = 8;
pub(super) const CHECK: usize = 64;
pub(super) const TRAILER: usize = 10 * 8 + 16 + 64 + CHECK;
const MAGIC: u64 = u64::from_le_bytes(*b"OUTRGEN1");

/// Where a content lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) digest: Digest,
    pub(super) offset: u64,
    /// Bytes of the frame.
    pub(super) stored: u64,
    /// Bytes of the content.
    pub(crate) size: u64,
}

impl Row {
    pub(super) fn to_bytes(self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[..64].copy_from_slice(&self.digest.0);
        put(&mut bytes[64..], &[self.offset, self.stored, self.size]);
        let check = Digest::of(&bytes[..ROW - 8]);
        bytes[ROW - 8..].copy_from_slice(&check.0[..8]);
        bytes
    }

    /// `None` if the disk changed it.
    pub(super) fn from_bytes(bytes: &[u8; ROW]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<8>()?;
        let (digest, numbers) = body.split_first_chunk::<64>()?;
        let [offset, stored, size] = numbers_of(numbers)?;
        (Digest::of(body).0[..8] == *check).then_some(Self { digest: Digest(*digest), offset, stored, size })
    }
}

/// What a content is looked up by in memory.
pub(super) fn key_of(digest: &Digest) -> u64 {
    // Big-endian, so that keys and digests have one order.
    digest.0.first_chunk().map_or(0, |key| u64::from_be_bytes(*key))
}

/// What a generation's file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trailer {
    pub(super) number: u64,
    /// The generation that the record is the changes of; 0: the record is whole.
    pub(super) base: u64,
    /// How many records of changes lie between this one and the whole one, itself counted.
    pub(super) chain: u64,
    /// How many changes they hold together.
    pub(super) changes: u64,
    /// When the tree was looked at, in Unix seconds.
    pub(super) time: f64,
    pub(super) files: u64,
    pub(super) contents: u64,
    pub(super) rows_at: u64,
    pub(super) record_at: u64,
    pub(super) lineage: [u8; 16],
    pub(super) root: Digest,
}

impl Trailer {
    pub(super) fn to_bytes(&self) -> [u8; TRAILER] {
        let mut bytes = [0; TRAILER];
        let numbers = [
            MAGIC,
            self.number,
            self.base,
            self.chain,
            self.changes,
            self.time.to_bits(),
            self.files,
            self.contents,
            self.rows_at,
            self.record_at,
        ];
        put(&mut bytes, &numbers);
        bytes[80..96].copy_from_slice(&self.lineage);
        bytes[96..160].copy_from_slice(&self.root.0);
        let check = Digest::of(&bytes[..160]);
        bytes[160..].copy_from_slice(&check.0);
        bytes
    }

    /// `None` if these bytes do not end a generation's file of `length` bytes.
    pub(super) fn from_bytes(bytes: &[u8; TRAILER], length: u64) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<CHECK>()?;
        let [magic, number, base, chain, changes, time, files, contents, rows_at, record_at] =
            numbers_of(body.get(..80)?)?;
        let (lineage, root) = (*body.get(80..)?.first_chunk()?, Digest(*body.last_chunk()?));
        let time = f64::from_bits(time);
        let found = Self { number, base, chain, changes, time, files, contents, rows_at, record_at, lineage, root };
        let whole = magic == MAGIC && Digest::of(body).0 == *check && base < number && found.fits(length);
        whole.then_some(found)
    }

    /// Where the keys begin.
    pub(super) fn keys_at(&self) -> Option<u64> {
        self.contents.checked_mul(ROW as u64)?.checked_add(self.rows_at)
    }

    /// Whether the sections fill a file of this length.
    fn fits(&self, length: u64) -> bool {
        let keys = self.contents.checked_mul(KEY as u64).and_then(|keys| keys.checked_add(CHECK as u64));
        let record = keys.and_then(|keys| self.keys_at()?.checked_add(keys));
        let rest = length.checked_sub(self.record_at);
        record == Some(self.record_at) && rest.is_some_and(|rest| rest >= (CHECK + TRAILER) as u64)
    }
}

fn put(bytes: &mut [u8], numbers: &[u64]) {
    for (bytes, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
}

fn numbers_of<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let numbers: &[[u8; 8]; N] = numbers.try_into().ok()?;
    rest.is_empty().then(|| numbers.map(u64::from_le_bytes))
}
