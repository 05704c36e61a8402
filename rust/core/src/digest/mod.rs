//! BLAKE2b-512: the one digest of a file, as the base protocol needs it.
//!
//! There are three ways to the same digest, chosen when first needed by what the machine has: eight
//! lanes of our own with AVX-512, four lanes of `blake2b_simd` with AVX2, and the `blake2` crate
//! everywhere. `OUTRIDER_DIGEST=portable|avx2|avx512` asks for one of them, for tests and benches.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod parts;
mod summed;

use std::fmt;
use std::sync::LazyLock;

use blake2::{Blake2b512, Digest as _};

pub(crate) use parts::{Parts, of_parts};
pub(crate) use summed::Summed;

/// A plain BLAKE2b-512 digest: 64 bytes, printed as 128 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 64]);

/// A way to hash many messages; every way gives the same digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// One after another, on any machine.
    Portable,
    /// Four side by side.
    Avx2,
    /// Eight side by side.
    Avx512,
}

impl Lanes {
    const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// The ways that this machine has, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|lanes| lanes.is_available())
    }

    /// The way that is taken: the one that `OUTRIDER_DIGEST` names if the machine has it, else the best.
    #[must_use]
    pub fn chosen() -> Self {
        static CHOSEN: LazyLock<Lanes> = LazyLock::new(|| {
            let asked = std::env::var("OUTRIDER_DIGEST").unwrap_or_default();
            let named = |lanes: &Lanes| format!("{lanes:?}").eq_ignore_ascii_case(&asked);
            Lanes::available().find(named).or_else(|| Lanes::available().next()).unwrap_or(Lanes::Portable)
        });
        *CHOSEN
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            Self::Avx512 => std::arch::is_x86_feature_detected!("avx512f"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Self::Portable
    }

    /// The digests of many buffers, in their order.
    #[must_use]
    pub fn of_many(self, inputs: &[&[u8]]) -> Vec<Digest> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if let Some(eight) = avx512::Eight::new() => lanes::of_many(eight, inputs),
            Self::Avx2 | Self::Avx512 => four_lanes(inputs),
            Self::Portable => inputs.iter().map(|input| Digest(Blake2b512::digest(input).into())).collect(),
        }
    }
}

/// Longest first, so that no long message is left over for one lane.
fn four_lanes(inputs: &[&[u8]]) -> Vec<Digest> {
    let params = blake2b_simd::Params::new();
    let mut jobs: Vec<_> = inputs.iter().map(|input| blake2b_simd::many::HashManyJob::new(&params, input)).collect();
    let mut order: Vec<_> = inputs.iter().zip(&mut jobs).collect();
    order.sort_unstable_by_key(|(input, _)| std::cmp::Reverse(input.len()));
    blake2b_simd::many::hash_many(order.into_iter().map(|(_, job)| job));
    jobs.iter().map(|job| Digest(*job.to_hash().as_array())).collect()
}

fn of_one(data: &[u8]) -> Digest {
    Digest(*blake2b_simd::blake2b(data).as_array())
}

/// A digest in the making, for content that arrives in parts.
#[derive(Clone)]
pub struct Hasher(Stream);

#[derive(Clone)]
enum Stream {
    Portable(Blake2b512),
    Simd(Box<blake2b_simd::State>),
}

impl Default for Hasher {
    fn default() -> Self {
        Self(match Lanes::chosen() {
            Lanes::Portable => Stream::Portable(Blake2b512::new()),
            Lanes::Avx2 | Lanes::Avx512 => Stream::Simd(Box::default()),
        })
    }
}

impl Hasher {
    /// Takes more content.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            Stream::Portable(stream) => stream.update(data),
            Stream::Simd(stream) => {
                stream.update(data);
            }
        }
    }

    /// The digest of all that was taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            Stream::Portable(stream) => Digest(stream.finalize().into()),
            Stream::Simd(stream) => Digest(*stream.finalize().as_array()),
        }
    }
}

impl Digest {
    /// The digest of one whole buffer.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        match Lanes::chosen() {
            Lanes::Portable => Self(Blake2b512::digest(data).into()),
            Lanes::Avx2 | Lanes::Avx512 => of_one(data),
        }
    }

    /// The digests of many buffers, in their order, side by side where the machine can.
    #[must_use]
    pub fn of_many(inputs: &[&[u8]]) -> Vec<Self> {
        Lanes::chosen().of_many(inputs)
    }

    /// Reads 128 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 64];
        if text.len() != 128 || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 128];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
