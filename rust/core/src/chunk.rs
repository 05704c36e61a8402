//! Content-defined chunks: what a receiver says of a large file whose content nobody else keeps.
//!
//! Cut points follow the content (`FastCDC` of 2020), so an insertion moves no cut but its own. A chunk is told
//! by its length and the first 8 bytes of its BLAKE2b-512; the digest of the whole file has the last word.
//!
//! ```text
//! files    varint count, then for each:
//! path     varint length, UTF-8
//! chunks   varint count, then for each: 8 bytes of digest, varint length
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read};

use fastcdc::v2020::StreamCDC;

use crate::bundle::{Contents, varint};
use crate::{Digest, Entry, Error, RelPath, Result};

const LEAST: usize = 2 << 10;
const AVERAGE: usize = 8 << 10;
const MOST: usize = 64 << 10;
/// Below this size a file is cheaper sent than described.
pub(crate) const WORTH: u64 = 64 << 10;
/// Chunks that are hashed side by side.
const TOGETHER: usize = 64;
const PATH_BYTES: usize = 4096;

/// One chunk, as far as another node needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// The first 8 bytes of its digest.
    pub digest: [u8; 8],
    /// Its bytes.
    pub length: u32,
}

/// The chunks of files, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures(BTreeMap<RelPath, Vec<Chunk>>);

impl Signatures {
    /// Describes those of `entries` that are large enough to be worth it and are there.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Conflict`] if one of them cannot be read.
    pub fn of(contents: &dyn Contents, entries: &[Entry]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in entries {
            if contents.size(entry)?.is_none_or(|size| size < WORTH) {
                continue;
            }
            if let Some(content) = contents.open(entry)? {
                let mut chunks = Vec::new();
                let cut = cut(content, |chunk, _| {
                    chunks.push(chunk);
                    Ok(())
                });
                cut.map_err(Error::io("read", entry.path.as_str()))?;
                files.insert(entry.path.clone(), chunks);
            }
        }
        Ok(Self(files))
    }

    /// The chunks of a file, in order.
    #[must_use]
    pub fn get(&self, path: &RelPath) -> Option<&[Chunk]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// As bytes for another node.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |number: usize, out: &mut Vec<u8>| {
            // A vector takes whatever is written to it.
            let _ = varint::write(number as u64, out);
        };
        number(self.0.len(), &mut out);
        for (path, chunks) in &self.0 {
            number(path.as_str().len(), &mut out);
            out.extend(path.as_str().as_bytes());
            number(chunks.len(), &mut out);
            for chunk in chunks {
                out.extend(chunk.digest);
                number(chunk.length as usize, &mut out);
            }
        }
        out
    }

    /// Reads what another node sent; counts that it declares allocate nothing (threat 7).
    ///
    /// # Errors
    /// [`Error::BadData`] or [`Error::BadPath`] for anything else.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self> {
        let bytes = &mut bytes;
        let mut files = BTreeMap::new();
        for _ in 0..varint::read(bytes).map_err(unreadable)? {
            let (path, chunks) = read_file(bytes)?;
            if files.insert(path, chunks).is_some() {
                return Err(unreadable(io::Error::other("a file stands there twice")));
            }
        }
        if !bytes.is_empty() {
            return Err(unreadable(io::Error::other("bytes follow its end")));
        }
        Ok(Self(files))
    }
}

fn read_file(bytes: &mut &[u8]) -> Result<(RelPath, Vec<Chunk>)> {
    let length = varint::read(bytes).map_err(unreadable)?;
    let mut path = Vec::new();
    varint::append(bytes, length, PATH_BYTES, &mut path).map_err(unreadable)?;
    let path = std::str::from_utf8(&path).map_err(|_| unreadable(io::Error::other("a path is not UTF-8")))?;
    let path = RelPath::new(path)?;
    let mut chunks = Vec::new();
    for _ in 0..varint::read(bytes).map_err(unreadable)? {
        let mut digest = [0; 8];
        bytes.read_exact(&mut digest).map_err(unreadable)?;
        let length = varint::read(bytes).map_err(unreadable)?;
        let length = u32::try_from(length).ok().filter(|length| *length as usize <= MOST);
        let too_long = || unreadable(io::Error::other("a chunk is longer than 65,536 bytes"));
        chunks.push(Chunk { digest, length: length.ok_or_else(too_long)? });
    }
    Ok((path, chunks))
}

/// Cuts `content` and hands over each chunk with its bytes; in bounded memory.
pub(crate) fn cut(content: impl Read, mut take: impl FnMut(Chunk, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut chunks = StreamCDC::new(content, LEAST, AVERAGE, MOST);
    let mut waiting: Vec<Vec<u8>> = Vec::with_capacity(TOGETHER);
    loop {
        let next = chunks.next().transpose()?;
        let ended = next.is_none();
        waiting.extend(next.map(|chunk| chunk.data));
        if ended || waiting.len() == TOGETHER {
            let contents: Vec<&[u8]> = waiting.iter().map(Vec::as_slice).collect();
            for (digest, content) in Digest::of_many(&contents).iter().zip(&contents) {
                let mut short = [0; 8];
                short.copy_from_slice(&digest.0[..8]);
                take(Chunk { digest: short, length: u32::try_from(content.len()).unwrap_or(u32::MAX) }, content)?;
            }
            waiting.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn unreadable(error: io::Error) -> Error {
    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
    let why = if cut { "it is cut short".to_owned() } else { error.to_string() };
    Error::BadData { what: "the list of chunks", why }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(content: &[u8]) -> Vec<Chunk> {
        let (mut chunks, mut whole) = (Vec::new(), Vec::new());
        cut(content, |chunk, bytes| {
            assert_eq!(chunk.digest, Digest::of(bytes).0[..8]);
            chunks.push(chunk);
            whole.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        assert_eq!(whole, content);
        chunks
    }

    #[test]
    fn an_insertion_changes_the_chunks_around_it_only() {
        let mut x = 1_u64;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x.to_be_bytes()[1]
        };
        let old: Vec<u8> = (0..2_000_000).map(|_| next()).collect();
        let new = [&old[..1_000_000], b"inserted", &old[1_000_000..]].concat();
        let known: std::collections::HashSet<_> = chunks(&old).into_iter().collect();
        let changed = chunks(&new).iter().filter(|chunk| !known.contains(chunk)).count();
        assert!((1..=4).contains(&changed), "{changed}");
        let average = old.len() / known.len();
        assert!((6_000..14_000).contains(&average), "{average}");
    }

    proptest! {
        #[test]
        fn threat_07_a_list_keeps_what_it_says_and_rubbish_is_refused(
            files in proptest::collection::btree_map("[a-z]{1,9}", proptest::collection::vec((any::<[u8; 8]>(), 0_u32..=65_536), 0..9), 0..5),
            rubbish in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let file = |(path, chunks): (String, Vec<([u8; 8], u32)>)| {
                let chunks = chunks.into_iter().map(|(digest, length)| Chunk { digest, length }).collect();
                (RelPath::new(&path).unwrap(), chunks)
            };
            let signatures = Signatures(files.into_iter().map(file).collect());
            let bytes = signatures.to_bytes();
            prop_assert_eq!(Signatures::from_bytes(&bytes).unwrap(), signatures);
            for end in 0..bytes.len() {
                prop_assert!(Signatures::from_bytes(&bytes[..end]).is_err());
            }
            let _ = Signatures::from_bytes(&rubbish);
        }
    }
}
