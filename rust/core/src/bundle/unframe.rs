//! Reading zstd frames that follow one another, each to exactly its end; hostile until a digest says otherwise.
//!
//! Nothing is allocated for what a frame declares beyond a window that the caller bounds.

use std::io::{self, Read};

use zstd::zstd_safe::{DCtx, DParameter, FrameFormat, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::WHAT;
use crate::{Error, Result};

const BUFFER: usize = 128 << 10;
/// zstd makes nothing larger than by a 256th and a few bytes for each frame; this much more is nobody's fault.
const SLACK: u64 = 1 << 20;
/// What the longest header of a frame without its magic number takes.
const HEADER: usize = 14;

/// The bytes of a bundle, read ahead.
pub(crate) struct Source<R> {
    from: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    consumed: u64,
    most: u64,
}

impl<R: Read> Source<R> {
    /// Reads bytes that unpack to at most so many; see [`Self::expect`].
    pub(crate) fn new(from: R, unpacked: u64) -> Self {
        let mut source = Self { from, buffer: vec![0; BUFFER].into(), start: 0, end: 0, consumed: 0, most: 0 };
        source.expect(unpacked, 0);
        source
    }

    /// What follows unpacks to at most so many bytes, in so many frames at most: a sender of frames that hold next to
    /// nothing and never end is not listened to for ever.
    pub(crate) fn expect(&mut self, unpacked: u64, frames: u64) {
        let packed = unpacked.saturating_add(unpacked / 64).saturating_add(frames.saturating_mul(64));
        self.most = self.consumed.saturating_add(packed).saturating_add(SLACK);
    }

    /// Bytes that were taken so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&mut self) -> io::Result<u8> {
        self.ahead()?.first().copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.consumed += bytes as u64;
    }

    /// Whether nothing follows.
    pub(crate) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.ahead()?.is_empty())
    }

    /// What lies ready, at least one byte unless the source ended.
    fn ahead(&mut self) -> io::Result<&[u8]> {
        self.gather(1)
    }

    /// What lies ready, at least so many bytes unless the source ended.
    fn gather(&mut self, least: usize) -> io::Result<&[u8]> {
        if self.end - self.start < least {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.consumed > self.most {
            let why = "it goes on although all that it declares must have come".to_owned();
            return Err(io::Error::other(Error::BadData { what: WHAT, why }));
        }
        while self.end - self.start < least {
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(size) => self.end += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }
}

/// A context for frames whose windows are at most so large.
pub(crate) fn context<'a>(window_log: u32) -> Result<DCtx<'a>> {
    let mut context = DCtx::try_create().ok_or_else(|| unreadable(io::ErrorKind::OutOfMemory.into()))?;
    let told = context.set_parameter(DParameter::Format(FrameFormat::Magicless));
    let told = told.and_then(|_| context.set_parameter(DParameter::WindowLogMax(window_log)));
    told.map_err(|code| unreadable(io::Error::other(get_error_name(code))))?;
    Ok(context)
}

/// One frame's content.
pub(crate) struct FrameReader<'f, 'c, R> {
    context: &'f mut DCtx<'c>,
    source: &'f mut Source<R>,
    begun: bool,
    ended: bool,
}

impl<'f, 'c, R: Read> FrameReader<'f, 'c, R> {
    /// The frame that comes next, made with this prefix or without one.
    pub(crate) fn new(context: &'f mut DCtx<'c>, source: &'f mut Source<R>, prefix: Option<&'c [u8]>) -> Result<Self> {
        let begun = context.reset(ResetDirective::SessionOnly);
        let begun = begun.and_then(|_| prefix.map_or(Ok(0), |prefix| context.ref_prefix(prefix)));
        begun.map_err(|code| unreadable(io::Error::other(get_error_name(code))))?;
        Ok(Self { context, source, begun: false, ended: false })
    }

    /// Bytes of the bundle that were taken so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.source.consumed()
    }
}

impl<R: Read> Read for FrameReader<'_, '_, R> {
    /// Content; nothing once the frame has ended, and then no byte behind it was taken.
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !room.is_empty() {
            // Without a magic number zstd takes what follows the first piece of a header for a frame of its own, if
            // it looks like one: so it gets the header in one piece.
            let ahead = self.source.gather(if self.begun { 1 } else { HEADER })?;
            self.begun = true;
            let mut input = InBuffer::around(ahead);
            let mut output = OutBuffer::around(&mut *room);
            let left = self.context.decompress_stream(&mut output, &mut input);
            let left = left.map_err(|code| io::Error::other(get_error_name(code)))?;
            let (cut, used, got) = (ahead.is_empty(), input.pos(), output.pos());
            self.source.skip(used);
            self.ended = left == 0;
            if got > 0 {
                return Ok(got);
            }
            if cut && !self.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

/// An error of ours that went through a reader, or what a reader said.
pub(crate) fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::BadData { what: WHAT, why: "it is cut short".to_owned() };
    }
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::BadData { what: WHAT, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::frames::checked_frame;

    /// Parts as they arrive.
    struct Parts<'a>(Vec<&'a [u8]>);

    impl Read for Parts<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            while let Some(part) = self.0.first_mut() {
                let size = part.read(room)?;
                if size > 0 {
                    return Ok(size);
                }
                self.0.remove(0);
            }
            Ok(0)
        }
    }

    /// Bytes without an order, the same in every run.
    fn noise(mut seed: u64, size: usize) -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed.to_be_bytes()[0]
        };
        (0..size).map(|_| next()).collect()
    }

    #[test]
    fn frames_are_read_wherever_a_part_ends_in_them() {
        for seed in 0_u16..3000 {
            let contents = [noise(seed.into(), 1 + usize::from(seed % 90)), b"words ".repeat(usize::from(seed % 40))];
            let frames = contents.iter().flat_map(|one| checked_frame(one, 3).unwrap()).collect::<Vec<_>>();
            for cut in 0..frames.len().min(HEADER + 2) {
                let mut source = Source::new(Parts(vec![&frames[..cut], &frames[cut..]]), 1 << 20);
                let mut context = context(20).unwrap();
                for content in &contents {
                    let mut frame = FrameReader::new(&mut context, &mut source, None).unwrap();
                    let mut read = Vec::new();
                    let mut room = [0; 4096];
                    loop {
                        match frame.read(&mut room).map_err(|error| format!("seed {seed}, cut at {cut}: {error}")) {
                            Ok(0) => break,
                            Ok(size) => read.extend_from_slice(&room[..size]),
                            Err(why) => panic!("{why}"),
                        }
                    }
                    assert!(read == *content, "seed {seed}, cut at {cut}");
                }
                assert!(source.is_at_end().unwrap());
            }
        }
    }
}
