//! Making zstd frames: standard ones, but for the magic number that all of them would begin with.

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, FrameFormat, InBuffer, OutBuffer, compress_bound, get_error_name};

use crate::{Error, Result};

/// No frame begins with this byte: its reserved bit must be zero.
pub(crate) const NO_FRAME: u8 = 0xff;
/// Up to this much together, old and new need no search over long distances.
const NEAR: usize = 256 << 10;
/// What zstd takes at a time.
const BLOCK: usize = 128 << 10;
/// Output is handed on in parts of this size.
const PART: usize = 128 << 10;
/// From this much on two threads are worth their start.
const LARGE: u64 = 8 << 20;

/// What a zstd call says, as our error.
pub(crate) fn refused(code: usize) -> Error {
    let why = get_error_name(code);
    Error::io("compress", "the bundle")(std::io::Error::other(why))
}

fn encoder<'a>(level: i32) -> Result<CCtx<'a>> {
    let mut context = CCtx::try_create().ok_or_else(|| refused(0))?;
    context.set_parameter(CParameter::Format(FrameFormat::Magicless)).map_err(refused)?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(refused)?;
    Ok(context)
}

/// The smallest window that covers so many bytes, as a power of two; never below what zstd takes.
pub(crate) fn window_log(bytes: u64) -> u32 {
    bytes.max(1).next_power_of_two().ilog2().clamp(10, 31)
}

/// Makes frames of new versions, each with its old one as prefix; one context for all of them.
pub(super) struct PatchEncoder<'a> {
    context: CCtx<'a>,
    scratch: Vec<u8>,
}

impl<'a> PatchEncoder<'a> {
    pub(super) fn new(level: i32) -> Result<Self> {
        Ok(Self { context: encoder(level)?, scratch: Vec::new() })
    }

    /// The frame of `new` for who holds `old`.
    pub(super) fn frame(&mut self, old: &'a [u8], new: &[u8]) -> Result<&[u8]> {
        let far = old.len() + new.len() > NEAR;
        // A prefix can be reached as long as the window covers what follows it.
        let window = CParameter::WindowLog(window_log(new.len() as u64));
        for parameter in [window, CParameter::EnableLongDistanceMatching(far)] {
            self.context.set_parameter(parameter).map_err(refused)?;
        }
        self.context.set_pledged_src_size(Some(new.len() as u64)).map_err(refused)?;
        self.context.ref_prefix(old).map_err(refused)?;
        self.scratch.clear();
        self.scratch.reserve(compress_bound(new.len()));
        let mut out = OutBuffer::around(&mut self.scratch);
        // Block by block: given all at once, zstd loses the end of each long match (48 KB in 30 MB of noise, for 6).
        for block in new.chunks(BLOCK) {
            let mut input = InBuffer::around(block);
            while input.pos() < block.len() {
                self.context.compress_stream(&mut out, &mut input).map_err(refused)?;
            }
        }
        while self.context.end_stream(&mut out).map_err(refused)? > 0 {}
        Ok(&self.scratch)
    }
}

/// A small frame that carries a checksum of its own: what it says is not proved by any digest.
pub(crate) fn checked_frame(plain: &[u8], level: i32) -> Result<Vec<u8>> {
    let mut context = encoder(level)?;
    context.set_parameter(CParameter::ChecksumFlag(true)).map_err(refused)?;
    let mut out = Vec::with_capacity(compress_bound(plain.len()));
    context.compress2(&mut out, plain).map_err(refused)?;
    Ok(out)
}

/// One frame that grows.
pub(super) struct StreamEncoder {
    context: CCtx<'static>,
    out: Vec<u8>,
    used: usize,
}

impl StreamEncoder {
    /// For about `size` bytes.
    pub(super) fn new(level: i32, size: u64, threads: u32) -> Result<Self> {
        let mut context = encoder(level)?;
        if threads > 1 && size > LARGE {
            context.set_parameter(CParameter::NbWorkers(threads)).map_err(refused)?;
        }
        Ok(Self { context, out: Vec::new(), used: 0 })
    }

    /// Takes content, and gives each full part of the frame to `put`; false as soon as `put` wants no more.
    pub(super) fn write(&mut self, content: &[u8], put: impl FnMut(Vec<u8>) -> bool) -> Result<bool> {
        self.drive(content, ZSTD_EndDirective::ZSTD_e_continue, put)
    }

    /// Ends the frame.
    pub(super) fn finish(mut self, mut put: impl FnMut(Vec<u8>) -> bool) -> Result<bool> {
        let go_on = self.drive(&[], ZSTD_EndDirective::ZSTD_e_end, &mut put)?;
        self.out.truncate(self.used);
        Ok(go_on && put(self.out))
    }

    fn drive(
        &mut self,
        content: &[u8],
        directive: ZSTD_EndDirective,
        mut put: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<bool> {
        let ending = directive == ZSTD_EndDirective::ZSTD_e_end;
        let mut input = InBuffer::around(content);
        loop {
            self.out.resize(PART, 0);
            let mut output = OutBuffer::around(&mut self.out[self.used..]);
            let left = self.context.compress_stream2(&mut output, &mut input, directive).map_err(refused)?;
            self.used += output.pos();
            if self.used == PART {
                self.used = 0;
                if !put(std::mem::take(&mut self.out)) {
                    return Ok(false);
                }
            } else if input.pos() == content.len() && (!ending || left == 0) {
                return Ok(true);
            }
        }
    }
}
