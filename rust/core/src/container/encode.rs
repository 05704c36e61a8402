//! One member's zlib stream, made so that no mark of the container occurs in it (threat 28).
//!
//! A small file is compressed at once by libdeflate. A large one, and the metadata, is cut into
//! segments: each is raw deflate that ends with a flush (`00 00 ff ff`), so that no mark can span
//! two of them and each is checked, and compressed again, alone. Whatever a level does, stored
//! blocks cut inside each mark always work. They are also what becomes of data that does not shrink
//! (pictures, archives, ciphertext): a few samples tell, since deflate is slowest where it gains nothing.

use flate2::{Compress, Compression, FlushCompress, Status};
use libdeflater::{Adler32, CompressionLvl, Compressor};

use super::{FILE_SEP, marks};

/// Raw bytes of one segment of a large member.
pub(super) const SEGMENT: usize = 1 << 20;
/// The header of level 1, as 4.9.2 writes it.
const HEADER: [u8; 2] = [0x78, 0x01];
/// An empty last block of fixed codes.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
/// An empty stored block: ends every segment.
const FLUSH: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];
/// zlib-rs at level 1 is 20-45% larger than zlib itself at level 1; at level 2 it is as small.
const SEGMENT_LEVELS: [u32; 3] = [2, 4, 9];
const STORED_BLOCK: usize = 60_000;
/// Of so many bytes a sample is looked at; less is compressed without a question, which costs little.
const SAMPLED: usize = 128 << 10;
const SAMPLE: usize = 4 << 10;
/// A sample that does not become smaller than this shows no gain.
const GAIN: usize = SAMPLE - SAMPLE / 64;
/// libdeflate: tried where the wanted level leaves a mark in the stream. Its level 1 is faster than zlib's and as small;
/// 0, which it calls its fastest, does not compress.
const OTHER_LEVELS: [i32; 5] = [1, 3, 6, 9, 12];

/// Compresses members; keeps its tables from one to the next.
pub(super) struct Encoder {
    fast: Compressor,
    segments: Compress,
    sampler: Compressor,
}

impl Encoder {
    /// `level` is zlib's, 1 to 9; 0 stores.
    pub(super) fn new(level: u8) -> Self {
        let segments = if level == 1 { SEGMENT_LEVELS[0] } else { level.into() };
        let (fast, sampler) = (whole_compressor(level.into()), whole_compressor(OTHER_LEVELS[0]));
        Self { fast, segments: segment_compressor(segments), sampler }
    }

    /// Appends the stream of a whole file and the `FILE_SEP` that ends its member.
    pub(super) fn whole(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        if self.shrinks(raw) && self.whole_smaller(raw, out) {
            return;
        }
        out.extend(HEADER);
        stored(raw, out);
        let mut sum = Adler32::new();
        sum.update(raw);
        finish(&sum, out);
        out.extend(FILE_SEP);
    }

    /// Appends one segment of a large member; the first follows [`begin`], the last is followed by [`finish`].
    pub(super) fn segment(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        if !(self.shrinks(raw) && self.segment_smaller(raw, out)) {
            stored(raw, out);
        }
    }

    /// Appends nothing and says false if a mark stays at every level.
    fn whole_smaller(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        if one_shot(&mut self.fast, raw, out) && ends_first(&out[start..]) {
            return true;
        }
        let found = OTHER_LEVELS.iter().any(|level| {
            out.truncate(start);
            one_shot(&mut whole_compressor(*level), raw, out) && ends_first(&out[start..])
        });
        if !found {
            out.truncate(start);
        }
        found
    }

    /// As [`Self::whole_smaller`].
    fn segment_smaller(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        if deflate(&mut self.segments, raw, out) && marks::find_any(&out[start..]).is_none() {
            return true;
        }
        let found = SEGMENT_LEVELS[1..].iter().any(|level| {
            out.truncate(start);
            deflate(&mut segment_compressor(*level), raw, out) && marks::find_any(&out[start..]).is_none()
        });
        if !found {
            out.truncate(start);
        }
        found
    }

    /// Whether any of a few samples becomes smaller; the first that does is the last that is looked at.
    fn shrinks(&mut self, raw: &[u8]) -> bool {
        let mut room = [0; GAIN];
        // Without room for its whole output the compressor refuses.
        let shrinks = |sample: &[u8]| self.sampler.deflate_compress(sample, &mut room).is_ok();
        raw.len() < SAMPLED || raw.chunks_exact(SAMPLED).map(|part| &part[..SAMPLE]).any(shrinks)
    }
}

/// Begins the stream of a large member.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend(HEADER);
}

/// Ends the stream of a large member; `sum` was taken over all its segments.
pub(super) fn finish(sum: &Adler32, out: &mut Vec<u8>) {
    out.extend(LAST_BLOCK);
    out.extend(sum.sum().to_be_bytes());
}

/// More bytes than a large member of `raw` bytes can take, its path and marks aside.
pub(super) fn bound(raw: u64) -> u64 {
    raw + raw / 1000 + (raw / SEGMENT as u64 + 1) * 256
}

fn whole_compressor(level: i32) -> Compressor {
    Compressor::new(CompressionLvl::new(level).unwrap_or_default())
}

fn segment_compressor(level: u32) -> Compress {
    Compress::new(Compression::new(level), false)
}

/// Appends the stream and `FILE_SEP`; false if libdeflate refuses, which it does only for want of room.
fn one_shot(compressor: &mut Compressor, raw: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + compressor.zlib_compress_bound(raw.len()), 0);
    let Ok(size) = compressor.zlib_compress(raw, &mut out[start..]) else { return false };
    // The level bits of the header are only a remark; with 78 01 every level looks like 4.9.2's.
    out[start..start + 2].copy_from_slice(&HEADER);
    out.truncate(start + size);
    out.extend(FILE_SEP);
    true
}

/// Whether the `FILE_SEP` at the end of `member` is the first, and no `PATH_SEP` stands before it.
fn ends_first(member: &[u8]) -> bool {
    let stream = member.len() - FILE_SEP.len();
    marks::find_file_sep(member) == Some(stream) && marks::find_path_sep(&member[..stream]).is_none()
}

fn deflate(compressor: &mut Compress, raw: &[u8], out: &mut Vec<u8>) -> bool {
    compressor.reset();
    out.reserve(raw.len() + raw.len() / 1000 + 64);
    loop {
        let taken = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
        let Some(rest) = raw.get(taken..) else { return false };
        match compressor.compress_vec(rest, out, FlushCompress::Sync) {
            // Room is left: the flush is complete.
            Ok(Status::Ok | Status::BufError) if out.len() < out.capacity() => return out.ends_with(&FLUSH[1..]),
            Ok(_) => out.reserve(SEGMENT / 8),
            Err(_) => return false,
        }
    }
}

/// Appends stored blocks, cut so that neither content nor block headers hold a mark.
fn stored(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while !rest.is_empty() {
        let mut size = rest.len().min(STORED_BLOCK);
        if let Some(at) = marks::find_any(&rest[..size]) {
            size = at + 4;
        }
        let mut header = block_header(size);
        // The second half of a header may begin a mark that the content ends; another length has another header.
        while marks::find_any(&[&header, &rest[..size.min(8)]].concat()).is_some() {
            size -= 1;
            header = block_header(size);
        }
        out.extend(header);
        out.extend(&rest[..size]);
        rest = &rest[size..];
    }
    out.extend(FLUSH);
}

fn block_header(size: usize) -> [u8; 5] {
    let [low, high] = u16::try_from(size).unwrap_or(0).to_le_bytes();
    [0, low, high, !low, !high]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::container::PATH_SEP;

    fn inflate(stream: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        flate2::read::ZlibDecoder::new(stream).read_to_end(&mut raw).unwrap();
        raw
    }

    fn in_segments(raw: &[u8], size: usize, mut put: impl FnMut(&[u8], &mut Vec<u8>)) -> Vec<u8> {
        let (mut out, mut sum) = (Vec::new(), Adler32::new());
        begin(&mut out);
        for part in raw.chunks(size) {
            sum.update(part);
            put(part, &mut out);
        }
        finish(&sum, &mut out);
        out.extend(FILE_SEP);
        out
    }

    fn noise(seed: u32, size: usize) -> Vec<u8> {
        let mut x = seed | 1;
        let step = |x: &mut u32| {
            *x ^= *x << 13;
            *x ^= *x >> 17;
            *x ^= *x << 5;
            x.to_le_bytes()[1]
        };
        (0..size).map(|_| step(&mut x)).collect()
    }

    fn check(raw: &[u8]) {
        let mut encoder = Encoder::new(1);
        let mut whole = Vec::new();
        encoder.whole(raw, &mut whole);
        let parts = in_segments(raw, 1000, |part, out| encoder.segment(part, out));
        let plain = in_segments(raw, 70_000, stored);
        for member in [whole, parts, plain] {
            assert!(member.starts_with(&HEADER) && ends_first(&member));
            assert_eq!(inflate(&member), raw);
        }
    }

    #[test]
    fn threat_28_marks_in_incompressible_content_at_every_offset_arrive() {
        for at in 0..64 {
            for mark in [FILE_SEP, PATH_SEP] {
                let mut raw = noise(at + 7, 300);
                let at = at as usize;
                raw.splice(at..at, mark.iter().copied());
                raw.extend(mark);
                check(&raw);
            }
        }
    }

    #[test]
    fn threat_28_a_block_header_that_would_begin_a_mark_is_avoided() {
        // NLEN "|/" is length !0x2f7c = 0xd083 = 53,379; the content then completes PATH_SEP.
        let mut raw = b"/@@//|".to_vec();
        raw.extend(noise(3, 53_379 - 6));
        check(&raw);
        let mut raw = b"@@//@@|".to_vec();
        raw.extend(noise(5, 59_000));
        check(&raw);
    }

    #[test]
    fn threat_28_what_does_not_shrink_is_stored_and_its_marks_arrive() {
        let mut raw = noise(11, SEGMENT);
        for (at, mark) in [(0, FILE_SEP), (SAMPLED, PATH_SEP), (SEGMENT - 8, FILE_SEP), (SEGMENT - 12, PATH_SEP)] {
            raw[at..at + 8].copy_from_slice(mark);
        }
        let mut encoder = Encoder::new(1);
        assert!(!encoder.shrinks(&raw));
        let parts = in_segments(&raw, SEGMENT, |part, out| encoder.segment(part, out));
        assert!(parts.len() > raw.len());
        check(&raw);
    }

    #[test]
    fn one_sample_that_shrinks_is_enough() {
        let mut raw = noise(13, SEGMENT);
        raw[SEGMENT - SAMPLED..].fill(b' ');
        let mut encoder = Encoder::new(1);
        assert!(encoder.shrinks(&raw) && encoder.shrinks(&raw[SEGMENT - SAMPLED..]));
        assert!(encoder.shrinks(&noise(13, SAMPLED - 1)), "so little is not asked about");
    }

    #[test]
    fn text_is_as_small_as_zlib_level_1_makes_it() {
        let rules: Vec<_> = (0..200).map(|i| format!("<rule id=\"{i}\"><match>{}</match></rule>\n", i * i)).collect();
        let text = rules.concat();
        let mut peer = flate2::write::ZlibEncoder::new(Vec::new(), Compression::new(1));
        std::io::Write::write_all(&mut peer, text.as_bytes()).unwrap();
        let (peer, mut whole) = (peer.finish().unwrap().len(), Vec::new());
        Encoder::new(1).whole(text.as_bytes(), &mut whole);
        let parts = in_segments(text.as_bytes(), SEGMENT, |part, out| Encoder::new(1).segment(part, out));
        assert!(whole.len() <= peer + peer / 10 && parts.len() <= peer + peer / 10, "{} {}", whole.len(), parts.len());
    }

    #[test]
    fn the_bound_holds_for_noise() {
        let mut encoder = Encoder::new(1);
        for size in [0, 1, 4096, SEGMENT + 1, 3 * SEGMENT] {
            let raw = noise(9, size);
            let member = in_segments(&raw, SEGMENT, |part, out| encoder.segment(part, out));
            assert!(member.len() as u64 <= bound(size as u64), "{size}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn threat_28_any_mixture_of_marks_and_bytes_arrives(parts in proptest::collection::vec(prop_oneof![
            Just(FILE_SEP.to_vec()), Just(PATH_SEP.to_vec()), Just(b"|@@//@@".to_vec()), Just(b"|//@@//".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..40), Just(b"/@|".to_vec()),
        ], 0..40)) {
            check(&parts.concat());
        }
    }
}
