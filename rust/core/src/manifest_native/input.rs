//! A compressed stream of a stranger, read in small typed pieces and never further than its budget.

use std::io::{self, BufRead, BufReader, Read};

use zstd::stream::read::Decoder;

use crate::container::METADATA_SETTING;
use crate::{Error, Result};

/// The largest window that a stream may ask for, as a power of two: 8 MiB, allocated before its first byte.
const WINDOW_LOG: u32 = 23;
const WHAT: &str = "the manifest";

pub(crate) struct Input<R: Read> {
    stream: BufReader<Decoder<'static, BufReader<R>>>,
    left: u64,
    budget: u64,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(input: R, budget: u64) -> Result<Self> {
        let mut stream = Decoder::new(input).map_err(unreadable)?;
        stream.window_log_max(WINDOW_LOG).map_err(unreadable)?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream), left: budget, budget })
    }

    /// Takes so many bytes of memory out of the budget.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<()> {
        let left = self.left.checked_sub(bytes as u64);
        let what = || "the unpacked manifest".to_owned();
        let over = || Error::Limit { what: what(), limit: self.budget, setting: METADATA_SETTING };
        self.left = left.ok_or_else(over)?;
        Ok(())
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    /// Appends the next `length` bytes; the caller has bounded the length.
    pub(super) fn append(&mut self, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + length, 0);
        self.stream.read_exact(&mut out[start..]).map_err(unreadable)
    }

    /// An unsigned LEB128 number.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.bad("a number has more than 64 bits"))
    }

    /// A number that must not be above `most`.
    pub(super) fn at_most(&mut self, most: usize, why: &str) -> Result<usize> {
        let number = self.varint()?;
        usize::try_from(number).ok().filter(|number| *number <= most).ok_or_else(|| self.bad(why))
    }

    /// Nothing may follow.
    pub(crate) fn end(mut self) -> Result<()> {
        let rest = self.stream.fill_buf().map_err(unreadable)?.is_empty();
        if rest { Ok(()) } else { Err(self.bad("bytes follow its end")) }
    }

    #[allow(clippy::unused_self, reason = "the error is about this input")]
    pub(crate) fn bad(&self, why: &str) -> Error {
        Error::BadData { what: WHAT, why: why.to_owned() }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn unreadable(error: io::Error) -> Error {
    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
    Error::BadData { what: WHAT, why: if cut { "it is cut short".to_owned() } else { error.to_string() } }
}
