//! A container read member by member, in bounded memory; hostile until the last byte.
//!
//! The end of a member is where its zlib stream ends, so a `FILE_SEP` inside a stream is content
//! like any other. What is refused: a path that does not end, a stream that is cut or does not add
//! up, a `FILE_SEP` at the very end, and whatever passes the [`Budget`] (threat 27).

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{FILE_SEP, METADATA, PATH_SEP, marks};
use crate::{Claim, Error, Result};

const WHAT: &str = "the container";
/// Bytes of a name, as for a path.
const NAME: usize = 4096;
/// Read ahead at least this much where there is more, so that most members lie in the window whole.
const AHEAD: usize = 1 << 20;
const WINDOW: usize = 4 * AHEAD;
/// The window at first: most containers need no more.
const FIRST: usize = 64 << 10;

/// What a container may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Members.
    pub members: u64,
    /// Unpacked bytes of one file.
    pub file_bytes: u64,
    /// Unpacked bytes of all members.
    pub total_bytes: u64,
    /// Unpacked bytes of the metadata.
    pub metadata_bytes: u64,
    /// Unpacked bytes for each packed one, looked at beyond one largest file: that may be all zeros.
    pub ratio: u64,
}

/// A number of bytes, and the setting that it comes from.
pub(crate) type Bound = (u64, &'static str);

pub(crate) const FILES_SETTING: &str = "limits.unpacked_files";
pub(crate) const FILE_SETTING: &str = "limits.unpacked_file_bytes";
pub(crate) const TOTAL_SETTING: &str = "limits.unpacked_total_bytes";
pub(crate) const RATIO_SETTING: &str = "limits.unpacked_ratio";
pub(crate) const METADATA_SETTING: &str = "limits.metadata_bytes";

impl Default for Budget {
    /// 4.9.2 packs files of at most 1 GiB; 10^6 entries of metadata are 270 MB. Deflate reaches a ratio of 1,032 on
    /// zeros, text rarely 50; what is worth more than 250 costs its sender nothing and us a disk.
    fn default() -> Self {
        Self { members: 1 << 21, file_bytes: 1 << 30, total_bytes: 1 << 33, metadata_bytes: 1 << 29, ratio: 250 }
    }
}

impl Budget {
    /// So many bytes of files may come out of anything: a file within its limit may be a hole from end to end.
    pub(crate) fn free_of_ratio(&self) -> u64 {
        self.file_bytes.max(RATIO_FREE)
    }
}

/// So many bytes may come out of anything, whatever they are.
const RATIO_FREE: u64 = 64 << 20;

/// Reads a container from front to back.
pub(crate) struct Reader<R> {
    source: R,
    window: Vec<u8>,
    start: usize,
    end: usize,
    at_eof: bool,
    consumed: u64,
    unpacked: u64,
    members: u64,
    budget: Budget,
    fast: libdeflater::Decompressor,
    inflate: Decompress,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(source: R, budget: Budget) -> Self {
        Self {
            source,
            window: vec![0; FIRST],
            start: 0,
            end: 0,
            at_eof: false,
            consumed: 0,
            unpacked: 0,
            members: 0,
            budget,
            fast: libdeflater::Decompressor::new(),
            inflate: Decompress::new(true),
        }
    }

    /// The name of the next member, `None` behind the last. Its content must be read before the next call.
    pub(crate) fn next_name(&mut self) -> Result<Option<String>> {
        self.fill(AHEAD)?;
        if self.start == self.end {
            return if self.members == 0 { Err(bad("it is empty")) } else { Ok(None) };
        }
        self.members += 1;
        if self.members > self.budget.members {
            return Err(over("the number of files in the container", (self.budget.members, FILES_SETTING)));
        }
        let ahead = &self.window[self.start..self.end];
        let head = &ahead[..ahead.len().min(NAME + PATH_SEP.len())];
        let Some(length) = marks::find_path_sep(head) else {
            return Err(bad("a member does not begin with a path of at most 4,096 bytes and its mark"));
        };
        let Ok(name) = std::str::from_utf8(&head[..length]) else { return Err(bad("a path is not UTF-8")) };
        let name = name.to_owned();
        self.skip(length + PATH_SEP.len());
        Ok(Some(name))
    }

    /// Unpacks the member into the front of `room` if it lies in the window and fits; `None`: use [`Self::content`].
    pub(crate) fn content_at_once(&mut self, room: &mut [u8]) -> Result<Option<usize>> {
        let ahead = &self.window[self.start..self.end];
        let stream = match marks::find_file_sep(ahead) {
            Some(length) => &ahead[..length],
            None if self.at_eof => ahead,
            None => return Ok(None),
        };
        // Any failure may also mean that the mark was content: the slow way has the last word.
        let Ok(size) = self.fast.zlib_decompress(stream, room) else { return Ok(None) };
        self.skip(stream.len());
        self.account(size, size as u64, self.file_bytes())?;
        self.end_member()?;
        Ok(Some(size))
    }

    /// The member's content as a stream; [`Content::finish`] must be called behind it.
    pub(crate) fn content(&mut self, limit: Bound) -> Content<'_, R> {
        self.inflate.reset(true);
        Content { reader: self, limit, size: 0, ended: false }
    }

    /// The limit of one file.
    pub(crate) fn file_bytes(&self) -> Bound {
        (self.budget.file_bytes, FILE_SETTING)
    }

    /// The limit of the metadata.
    pub(crate) fn metadata_bytes(&self) -> Bound {
        (self.budget.metadata_bytes, METADATA_SETTING)
    }

    /// Reads until `least` bytes lie in the window, or the source ends.
    fn fill(&mut self, least: usize) -> Result<()> {
        if self.end - self.start >= least || self.at_eof {
            return Ok(());
        }
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < WINDOW && !self.at_eof {
            if self.end == self.window.len() {
                self.window.resize(WINDOW.min(8 * self.end), 0);
            }
            match self.source.read(&mut self.window[self.end..]) {
                Ok(0) => self.at_eof = true,
                Ok(size) => self.end += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", "the container")(error)),
            }
        }
        Ok(())
    }

    fn skip(&mut self, size: usize) {
        self.start += size;
        self.consumed += size as u64;
    }

    /// Counts unpacked bytes; `size` is the member's so far.
    fn account(&mut self, more: usize, size: u64, limit: Bound) -> Result<()> {
        self.unpacked += more as u64;
        let Budget { total_bytes, ratio, .. } = self.budget;
        if size > limit.0 {
            return Err(over("the unpacked size of a file in the container", limit));
        }
        if self.unpacked > total_bytes {
            return Err(over("the unpacked size of the container", (total_bytes, TOTAL_SETTING)));
        }
        // What is in the window is part of the container, whether consumed or not.
        let known = self.consumed + (self.end - self.start) as u64;
        // What memory holds must be worth its own bytes earlier than what goes to the disk.
        let (unpacked, free) = match limit.1 {
            METADATA_SETTING => (size, RATIO_FREE),
            _ => (self.unpacked, self.budget.free_of_ratio()),
        };
        if unpacked > free.max(known.saturating_mul(ratio)) {
            let what = "the unpacked size of the container, as a multiple of the packed one,";
            return Err(over(what, (ratio, RATIO_SETTING)));
        }
        Ok(())
    }

    /// Behind a stream: ignores what older writers may have left there, then takes the `FILE_SEP`.
    fn end_member(&mut self) -> Result<()> {
        loop {
            self.fill(FILE_SEP.len() + 1)?;
            let ahead = &self.window[self.start..self.end];
            if let Some(at) = marks::find_file_sep(ahead) {
                self.skip(at + FILE_SEP.len());
                self.fill(1)?;
                return if self.start == self.end { Err(bad("a mark stands at its very end")) } else { Ok(()) };
            }
            // A mark may begin in the last seven bytes.
            let keep = if self.at_eof { 0 } else { FILE_SEP.len() - 1 };
            self.skip(ahead.len().saturating_sub(keep));
            if self.at_eof {
                return Ok(());
            }
        }
    }
}

/// The content of one member.
pub(crate) struct Content<'a, R> {
    reader: &'a mut Reader<R>,
    limit: Bound,
    size: u64,
    ended: bool,
}

impl<R: Read> Content<'_, R> {
    /// Unpacks into `room`; 0 at the end.
    pub(crate) fn unpack(&mut self, room: &mut [u8]) -> Result<usize> {
        while !self.ended {
            self.reader.fill(1)?;
            let reader = &mut *self.reader;
            let (taken, given) = (reader.inflate.total_in(), reader.inflate.total_out());
            let ahead = &reader.window[reader.start..reader.end];
            let status = reader.inflate.decompress(ahead, room, FlushDecompress::None);
            let taken = usize::try_from(reader.inflate.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(reader.inflate.total_out() - given).unwrap_or(usize::MAX);
            reader.skip(taken);
            self.ended = match status {
                Ok(Status::StreamEnd) => true,
                Ok(_) => false,
                Err(error) => return Err(bad(&format!("a compressed stream is damaged ({error})"))),
            };
            self.size += given as u64;
            self.reader.account(given, self.size, self.limit)?;
            if given > 0 {
                return Ok(given);
            }
            if !self.ended && taken == 0 && (self.reader.at_eof || self.reader.end > self.reader.start) {
                return Err(bad("a compressed stream is cut short"));
            }
        }
        Ok(0)
    }

    /// Reads the rest, so that the whole stream is checked, and steps behind the member.
    pub(crate) fn finish(mut self) -> Result<()> {
        let mut rest = vec![0; 64 << 10];
        while self.unpack(&mut rest)? > 0 {}
        self.reader.end_member()
    }
}

impl<R: Read> Read for Content<'_, R> {
    /// An error of ours travels inside the `io::Error`.
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() { Ok(0) } else { self.unpack(room).map_err(io::Error::other) }
    }
}

/// The metadata of a worker's container (specification 5.4); other members are unpacked and thrown away.
///
/// # Errors
/// [`Error::BadData`], [`Error::BadPath`] or [`Error::Limit`] for what a peer may not send, [`Error::Io`] if
/// `source` cannot be read.
pub fn read_manifest(source: impl Read, budget: Budget) -> Result<Claim> {
    let mut reader = Reader::new(source, budget);
    let mut claim = None;
    while let Some(name) = reader.next_name()? {
        let limit = if name == METADATA { reader.metadata_bytes() } else { reader.file_bytes() };
        let mut content = reader.content(limit);
        if name == METADATA && claim.replace(Claim::read_wire(&mut content)?).is_some() {
            return Err(twice());
        }
        content.finish()?;
    }
    claim.ok_or_else(no_metadata)
}

pub(crate) fn no_metadata() -> Error {
    bad("it holds no files_metadata.json")
}

pub(crate) fn twice() -> Error {
    bad("it holds files_metadata.json twice")
}

fn bad(why: &str) -> Error {
    Error::BadData { what: WHAT, why: why.to_owned() }
}

fn over(what: &str, (limit, setting): Bound) -> Error {
    Error::Limit { what: what.to_owned(), limit, setting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Plan};

    const ONE: &[u8] = include_bytes!("../../../../tests/vectors/container-1.bin");
    const THREE: &[u8] = include_bytes!("../../../../tests/vectors/container-3-limited.bin");

    /// Gives at most `step` bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let size = room.len().min(self.1);
            self.0.read(&mut room[..size])
        }
    }

    fn members(source: impl Read, budget: Budget, at_once: bool) -> Result<Vec<(String, Vec<u8>)>> {
        let mut reader = Reader::new(source, budget);
        let mut found = Vec::new();
        while let Some(name) = reader.next_name()? {
            let mut content = vec![0; 1 << 16];
            if let Some(size) = if at_once { reader.content_at_once(&mut content)? } else { None } {
                content.truncate(size);
            } else {
                content.clear();
                let limit = reader.file_bytes();
                let mut stream = reader.content(limit);
                let mut room = [0; 1000];
                loop {
                    match stream.unpack(&mut room)? {
                        0 => break,
                        size => content.extend(&room[..size]),
                    }
                }
                stream.finish()?;
            }
            found.push((name, content));
        }
        Ok(found)
    }

    fn all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        members(bytes, Budget::default(), true)
    }

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        stream.write_all(content).unwrap();
        [name.as_bytes(), PATH_SEP, &stream.finish().unwrap()].concat()
    }

    #[test]
    fn the_recorded_containers_unpack_to_what_their_metadata_says() {
        for (container, count) in [(ONE, 31), (THREE, 16)] {
            let found = all(container).unwrap();
            assert_eq!(found.len(), count);
            assert_eq!(members(Dripping(container, 7), Budget::default(), false).unwrap(), found);
            let (name, json) = found.last().unwrap();
            assert_eq!(name, METADATA);
            let plan = Plan::read_wire(json.as_slice()).unwrap();
            assert_eq!(plan.written().count(), count - 1);
            for entry in plan.written() {
                let (_, content) = found.iter().find(|(name, _)| name == entry.path.as_str()).unwrap();
                assert_eq!(Digest::of(content), entry.digest, "{}", entry.path);
            }
        }
    }

    #[test]
    fn a_recorded_check_holds_a_manifest() {
        let two = include_bytes!("../../../../tests/vectors/container-2-metadata-only.bin");
        let claim = read_manifest(two.as_slice(), Budget::default()).unwrap();
        assert!(claim.manifest.get("etc/client.keys").is_some() && claim.unnameable.is_empty());
        assert!(read_manifest(member("a", b"").as_slice(), Budget::default()).is_err());
        let budget = Budget { metadata_bytes: 100, ..Budget::default() };
        assert!(matches!(read_manifest(two.as_slice(), budget), Err(Error::Limit { limit: 100, .. })));
    }

    #[test]
    fn threat_06_every_cut_is_seen_and_no_flipped_bit_changes_content_unnoticed() {
        let good = [member("a", b"hello"), FILE_SEP.to_vec(), member(METADATA, b"{}")].concat();
        let whole = all(&good).unwrap();
        for end in 0..good.len() {
            assert!(all(&good[..end]).ok().is_none_or(|found| found.len() < 2), "cut at {end}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // Some bits pad a stream's last byte; but no content ever differs under its own name.
            let Ok(found) = all(&bad) else { continue };
            let same = found.iter().all(|one| whole.contains(one) || !whole.iter().any(|(name, _)| *name == one.0));
            assert!(same, "bit {bit}");
        }
    }

    #[test]
    fn threat_28_a_mark_inside_a_stream_is_content_and_rubbish_behind_it_is_ignored() {
        let mut stored = [b"a".as_slice(), PATH_SEP, &[0x78, 0x01, 0x01, 8, 0, 0xf7, 0xff], FILE_SEP].concat();
        stored.extend(libdeflater::adler32(FILE_SEP).to_be_bytes());
        stored.extend(b"rubbish|@@//");
        let container = [stored, FILE_SEP.to_vec(), member("b", b"next")].concat();
        for at_once in [true, false] {
            let found = members(Dripping(&container, 5), Budget::default(), at_once).unwrap();
            assert_eq!(found, [("a".to_owned(), FILE_SEP.to_vec()), ("b".to_owned(), b"next".to_vec())]);
        }
    }

    #[test]
    fn what_is_no_container_is_refused_with_a_reason() {
        let mut bad_sum = member("a", b"hello");
        *bad_sum.last_mut().unwrap() ^= 1;
        let no_mark = vec![b'x'; 10_000];
        for (bad, why) in [
            (b"".to_vec(), "empty"),
            ([member("a", b"hello"), FILE_SEP.to_vec()].concat(), "very end"),
            (no_mark, "begin with a path"),
            ([b"\xff".as_slice(), PATH_SEP].concat(), "UTF-8"),
            ([b"a".as_slice(), PATH_SEP].concat(), "cut short"),
            ([b"a".as_slice(), PATH_SEP, b"garbage"].concat(), "damaged"),
            (bad_sum, "damaged"),
        ] {
            let text = all(&bad).unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn threat_27_bombs_stop_at_each_budget() {
        let one = member("a", &vec![0; 200 << 20]);
        assert!(one.len() < 1 << 20);
        let two = [one.clone(), member("b", &vec![0; 200 << 20])].join(FILE_SEP.as_slice());
        let tight = [
            (&one, Budget { file_bytes: 1 << 20, ..Budget::default() }, FILE_SETTING),
            (&one, Budget { total_bytes: 1 << 20, ..Budget::default() }, TOTAL_SETTING),
            (&two, Budget { file_bytes: 200 << 20, ..Budget::default() }, RATIO_SETTING),
        ];
        for (bomb, budget, by) in tight {
            let stopped = members(bomb.as_slice(), budget, true);
            assert!(matches!(stopped, Err(Error::Limit { setting, .. }) if setting == by), "{budget:?}");
        }
        let hole = Budget { file_bytes: 200 << 20, ..Budget::default() };
        assert!(members(one.as_slice(), hole, true).is_ok(), "one file may be a hole");
        let many = (0..5).map(|i| member(&i.to_string(), b"")).collect::<Vec<_>>().join(FILE_SEP.as_slice());
        assert_eq!(all(&many).unwrap().len(), 5);
        let budget = Budget { members: 4, ..Budget::default() };
        assert!(matches!(members(many.as_slice(), budget, true), Err(Error::Limit { limit: 4, .. })));
    }
}
