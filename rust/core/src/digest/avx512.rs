//! Eight BLAKE2b-512 side by side: one 512-bit register holds the same word of eight messages.
//!
//! One stream waits for itself, since every step needs the one before; eight streams do not wait for
//! one another. [`Eight`] is safe to use: it can only be made on a machine that has AVX-512.
#![allow(unsafe_code, reason = "vector loads and the call of a function that needs AVX-512")]
#![allow(clippy::many_single_char_names, reason = "the standard calls the words a, b, c, d, x, y")]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_loadu_si512, _mm512_ror_epi64, _mm512_set1_epi64, _mm512_shuffle_i64x2,
    _mm512_storeu_si512, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::Digest;

pub(super) const LANES: usize = 8;
pub(super) const BLOCK: usize = 128;

/// The first words of the fractions of square roots, as in SHA-512 (RFC 7693).
const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Which message words each round takes; rounds 10 and 11 repeat the first two.
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The states of eight messages; `words[i][lane]` is word `i` of one of them.
pub(super) struct Eight {
    words: [[u64; LANES]; 8],
    counts: [u64; LANES],
}

impl Eight {
    /// Eight fresh states, if this machine has AVX-512.
    pub(super) fn new() -> Option<Self> {
        let mut eight = Self { words: [[0; LANES]; 8], counts: [0; LANES] };
        (0..LANES).for_each(|lane| eight.restart(lane));
        std::arch::is_x86_feature_detected!("avx512f").then_some(eight)
    }

    /// Makes one lane ready for a new message.
    pub(super) fn restart(&mut self, lane: usize) {
        for (word, iv) in self.words.iter_mut().zip(IV) {
            word[lane] = iv;
        }
        // The parameters of the plain digest: 64 bytes long, no key, no tree.
        self.words[0][lane] ^= 0x0101_0040;
        self.counts[lane] = 0;
    }

    /// The digest of a lane whose last block is compressed.
    pub(super) fn digest(&self, lane: usize) -> Digest {
        let mut digest = Digest([0; 64]);
        for (bytes, word) in digest.0.chunks_exact_mut(8).zip(&self.words) {
            bytes.copy_from_slice(&word[lane].to_le_bytes());
        }
        digest
    }

    /// Compresses as many blocks of each lane as the shortest of `data` holds.
    ///
    /// `counts` are the message bytes in each block, `last` is all ones where a block ends its message.
    pub(super) fn compress(&mut self, data: [&[u8]; LANES], counts: [u64; LANES], last: [u64; LANES]) {
        // SAFETY: an Eight is only made where AVX-512 was detected.
        unsafe { compress(self, data, counts, last) }
    }
}

/// The rounds written out, so that all words stay in registers: a loop, or a function for one round,
/// would pass them through memory and take half as long again.
macro_rules! rounds {
    ($v:ident, $m:ident, [$($row:literal),*]) => { $(
        mix(&mut $v, [0, 4, 8, 12], $m[SIGMA[$row][0]], $m[SIGMA[$row][1]]);
        mix(&mut $v, [1, 5, 9, 13], $m[SIGMA[$row][2]], $m[SIGMA[$row][3]]);
        mix(&mut $v, [2, 6, 10, 14], $m[SIGMA[$row][4]], $m[SIGMA[$row][5]]);
        mix(&mut $v, [3, 7, 11, 15], $m[SIGMA[$row][6]], $m[SIGMA[$row][7]]);
        mix(&mut $v, [0, 5, 10, 15], $m[SIGMA[$row][8]], $m[SIGMA[$row][9]]);
        mix(&mut $v, [1, 6, 11, 12], $m[SIGMA[$row][10]], $m[SIGMA[$row][11]]);
        mix(&mut $v, [2, 7, 8, 13], $m[SIGMA[$row][12]], $m[SIGMA[$row][13]]);
        mix(&mut $v, [3, 4, 9, 14], $m[SIGMA[$row][14]], $m[SIGMA[$row][15]]);
    )* };
}

#[target_feature(enable = "avx512f")]
fn compress(eight: &mut Eight, data: [&[u8]; LANES], counts: [u64; LANES], last: [u64; LANES]) {
    let blocks = data.iter().map(|lane| lane.len() / BLOCK).min().unwrap_or(0);
    let (mut state, mut count) = (eight.words.map(|word| load(&word)), load(&eight.counts));
    let (step, last) = (load(&counts), load(&last));
    for block in 0..blocks {
        count = _mm512_add_epi64(count, step);
        let message = message(data, block * BLOCK);
        let iv = |i: usize| _mm512_set1_epi64(IV[i].cast_signed());
        let mut v = [
            state[0],
            state[1],
            state[2],
            state[3],
            state[4],
            state[5],
            state[6],
            state[7],
            iv(0),
            iv(1),
            iv(2),
            iv(3),
            _mm512_xor_si512(iv(4), count),
            iv(5),
            _mm512_xor_si512(iv(6), last),
            iv(7),
        ];
        rounds!(v, message, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        for (i, word) in state.iter_mut().enumerate() {
            *word = _mm512_xor_si512(*word, _mm512_xor_si512(v[i], v[i + 8]));
        }
    }
    for (word, lanes) in state.iter().zip(&mut eight.words) {
        store(lanes, *word);
    }
    store(&mut eight.counts, count);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn mix(v: &mut [__m512i; 16], [a, b, c, d]: [usize; 4], x: __m512i, y: __m512i) {
    v[a] = _mm512_add_epi64(_mm512_add_epi64(v[a], v[b]), x);
    v[d] = _mm512_ror_epi64::<32>(_mm512_xor_si512(v[d], v[a]));
    v[c] = _mm512_add_epi64(v[c], v[d]);
    v[b] = _mm512_ror_epi64::<24>(_mm512_xor_si512(v[b], v[c]));
    v[a] = _mm512_add_epi64(_mm512_add_epi64(v[a], v[b]), y);
    v[d] = _mm512_ror_epi64::<16>(_mm512_xor_si512(v[d], v[a]));
    v[c] = _mm512_add_epi64(v[c], v[d]);
    v[b] = _mm512_ror_epi64::<63>(_mm512_xor_si512(v[b], v[c]));
}

/// The sixteen words of a block of each lane, turned so that equal words share a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn message(data: [&[u8]; LANES], at: usize) -> [__m512i; 16] {
    let half = |from: usize| {
        data.map(|lane| match lane.get(from..).and_then(<[u8]>::first_chunk::<64>) {
            // SAFETY: 64 bytes are there, and the load asks for no alignment.
            Some(half) => unsafe { _mm512_loadu_si512(std::ptr::from_ref(half).cast()) },
            None => _mm512_set1_epi64(0),
        })
    };
    let (first, second) = (transposed(&half(at)), transposed(&half(at + 64)));
    std::array::from_fn(|word| if word < 8 { first[word] } else { second[word - 8] })
}

/// Rows to columns of an 8 by 8 square of words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: &[__m512i; 8]) -> [__m512i; 8] {
    let [a, b, c, d, e, f, g, h] = *rows;
    let quarter = |a, b, c, d| {
        let (first, second) = (_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0x88>(c, d));
        let (third, fourth) = (_mm512_shuffle_i64x2::<0xdd>(a, b), _mm512_shuffle_i64x2::<0xdd>(c, d));
        [
            _mm512_shuffle_i64x2::<0x88>(first, second),
            _mm512_shuffle_i64x2::<0x88>(third, fourth),
            _mm512_shuffle_i64x2::<0xdd>(first, second),
            _mm512_shuffle_i64x2::<0xdd>(third, fourth),
        ]
    };
    let (low, high) = (|a, b| _mm512_unpacklo_epi64(a, b), |a, b| _mm512_unpackhi_epi64(a, b));
    let [w0, w2, w4, w6] = quarter(low(a, b), low(c, d), low(e, f), low(g, h));
    let [w1, w3, w5, w7] = quarter(high(a, b), high(c, d), high(e, f), high(g, h));
    [w0, w1, w2, w3, w4, w5, w6, w7]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: eight words are 64 bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(words: &mut [u64; LANES], value: __m512i) {
    // SAFETY: eight words are 64 bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), value) }
}
