//! The native form of a manifest: what the store of generations keeps, and what a worker with an unknown
//! base reports.
//!
//! It is one zstd stream. Inside it stand columns, since paths shrink to little when nothing random lies
//! between them, and digests never do:
//!
//! ```text
//! magic    4 bytes   "OMN1"
//! width    1 byte    bytes of each digest: 64 whole, 16 short (the first 16 of the whole)
//! rules    varint count, then for each: varint length, UTF-8
//! paths    varint count, then for each, in strictly rising order of bytes:
//!          varint bytes shared with the path before, varint bytes that follow, those bytes, varint rule
//! times    with whole digests only: for each path its mod_time, 8 bytes, IEEE 754, little-endian
//! digests  for each path
//! ```
//!
//! All varints are LEB128 of at most 64 bits. What is read is hostile until it has become a value
//! (threats 7, 24, 27): declared counts allocate nothing, a path is a [`RelPath`] and comes after the one
//! before it, and the budget is charged with what an entry takes in memory before it is taken.

mod input;
mod paths;
mod short;

use std::io::{self, BufWriter, Read, Write};

use zstd::stream::write::Encoder;

pub(crate) use input::Input;
pub(crate) use paths::{read_paths, write_paths};
pub use short::{ShortDigest, ShortEntry, ShortManifest};

use crate::{Digest, Entry, Manifest, Result};

const MAGIC: &[u8; 4] = b"OMN1";
const WHOLE: u8 = 64;
const SHORT: u8 = 16;
/// As for a solid frame: past it, paths gain little and time is lost.
pub(crate) const LEVEL: i32 = 3;

impl Manifest {
    /// Writes the native form with whole digests.
    ///
    /// # Errors
    /// Only what `out` says.
    pub fn write_native(&self, out: impl Write) -> io::Result<()> {
        let mut out = compressed(out)?;
        write_whole(self.entries(), &mut out)?;
        finish(out)
    }

    /// Reads the native form with whole digests; `budget` bounds the bytes that its entries take in memory.
    ///
    /// # Errors
    /// [`crate::Error::BadData`] and [`crate::Error::BadPath`] for what is no such form, [`crate::Error::Limit`]
    /// beyond the budget.
    pub fn read_native(input: impl Read, budget: u64) -> Result<Self> {
        let mut input = Input::new(input, budget)?;
        let entries = read_whole(&mut input)?;
        input.end()?;
        Ok(Self::of_sorted(entries))
    }
}

/// A buffered zstd stream onto `out`; [`finish`] ends it.
pub(crate) fn compressed<W: Write>(out: W) -> io::Result<BufWriter<Encoder<'static, W>>> {
    Ok(BufWriter::with_capacity(64 * 1024, Encoder::new(out, LEVEL)?))
}

pub(crate) fn finish<W: Write>(out: BufWriter<Encoder<'static, W>>) -> io::Result<()> {
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.flush()
}

/// All columns, uncompressed; the entries are sorted by path, each path once.
pub(crate) fn write_whole(entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    out.write_all(MAGIC)?;
    out.write_all(&[WHOLE])?;
    write_paths(entries.iter().map(|entry| (&entry.path, &entry.rule)), out)?;
    entries.iter().try_for_each(|entry| out.write_all(&entry.mod_time.to_le_bytes()))?;
    entries.iter().try_for_each(|entry| out.write_all(&entry.digest.0))
}

pub(crate) fn read_whole(input: &mut Input<impl Read>) -> Result<Vec<Entry>> {
    head(input, WHOLE)?;
    let mut entries = Vec::new();
    read_paths(input, size_of::<Entry>(), |path, rule| {
        entries.push(Entry { path, digest: Digest([0; 64]), mod_time: 0.0, rule });
    })?;
    for entry in &mut entries {
        entry.mod_time = f64::from_le_bytes(input.array()?);
        if !entry.mod_time.is_finite() {
            return Err(input.bad("a time is not finite"));
        }
    }
    for entry in &mut entries {
        entry.digest = Digest(input.array()?);
    }
    Ok(entries)
}

fn head(input: &mut Input<impl Read>, width: u8) -> Result<()> {
    if input.array()? != *MAGIC {
        return Err(input.bad("it does not begin as one of a format that this version knows"));
    }
    let [found] = input.array()?;
    if found == width { Ok(()) } else { Err(input.bad(&format!("its digests have {found} bytes, not {width}"))) }
}
