//! Every way to hash, forced on every machine that has it, against the `blake2` crate.
#![allow(unsafe_code, reason = "pages that may not be touched need mmap")]

use blake2::{Blake2b512, Digest as _};
use outrider_core::{Digest, Hasher, Lanes};
use proptest::prelude::*;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

fn oracle(data: &[u8]) -> Digest {
    Digest(Blake2b512::digest(data).into())
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 167 + seed * 13 + at / 251) % 256).unwrap()).collect()
}

fn check(inputs: &[&[u8]]) {
    let expected: Vec<Digest> = inputs.iter().map(|input| oracle(input)).collect();
    for lanes in Lanes::available() {
        assert!(lanes.of_many(inputs) == expected, "{lanes:?} differs");
    }
}

/// A buffer whose last byte is followed by a page that must not be touched.
struct Guarded {
    start: *mut std::ffi::c_void,
    size: usize,
}

const PAGE: usize = 65_536;

impl Guarded {
    fn new(largest: usize) -> Self {
        let size = largest.next_multiple_of(PAGE) + PAGE;
        let (read_write, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the system's choice; the last page is within it.
        unsafe {
            let start = mmap_anonymous(std::ptr::null_mut(), size, read_write, private).unwrap();
            mprotect(start.byte_add(size - PAGE), PAGE, MprotectFlags::empty()).unwrap();
            Self { start, size }
        }
    }

    /// A copy of `data` that ends where the forbidden page begins.
    fn hold(&mut self, data: &[u8]) -> &[u8] {
        // SAFETY: the mapping is ours alone and long enough for `data` before its last page.
        let room = unsafe { std::slice::from_raw_parts_mut(self.start.cast::<u8>(), self.size - PAGE) };
        let at = room.len() - data.len();
        room[at..].copy_from_slice(data);
        &room[at..]
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        unsafe { munmap(self.start, self.size).unwrap() }
    }
}

#[test]
fn the_known_answers_of_rfc_7693_and_of_nothing() {
    let abc = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
               7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923";
    let nothing = "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419\
                   d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce";
    for lanes in Lanes::available() {
        let found: Vec<String> = lanes.of_many(&[b"abc", b""]).iter().map(ToString::to_string).collect();
        assert_eq!(found, [abc, nothing], "{lanes:?}");
    }
    assert_eq!(Digest::of(b"abc").to_string(), abc);
    assert!(Lanes::available().any(|lanes| lanes == Lanes::Portable));
    assert!(Lanes::available().any(|lanes| lanes == Lanes::chosen()));
}

#[test]
fn every_length_up_to_eight_blocks_alone_and_together() {
    let data: Vec<Vec<u8>> = (0..=1025).map(|length| bytes(length, length)).collect();
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    check(&inputs);
    for window in [1, 2, 7, 8, 9] {
        inputs.chunks(window).step_by(5).for_each(check);
    }
    assert!(inputs.iter().all(|input| Digest::of(input) == oracle(input)));
    check(&[]);
}

#[test]
fn nothing_is_read_behind_the_end_of_a_buffer() {
    let lengths = [0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 5000, 70_000];
    let data: Vec<Vec<u8>> = lengths.iter().map(|length| bytes(*length, 3)).collect();
    let mut pages: Vec<Guarded> = lengths.iter().map(|length| Guarded::new(*length)).collect();
    let inputs: Vec<&[u8]> = pages.iter_mut().zip(&data).map(|(page, data)| page.hold(data)).collect();
    check(&inputs);
    for window in 1..=9 {
        inputs.chunks(window).for_each(check);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_mix_of_lengths_gives_the_digests_of_blake2(
        lengths in prop::collection::vec(prop_oneof![0usize..300, 0usize..9000, 0usize..300_000], 0..30), seed in 0usize..99,
    ) {
        let data: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, length)| bytes(*length, seed + i)).collect();
        let mut pages: Vec<Guarded> = lengths.iter().map(|length| Guarded::new(*length)).collect();
        let inputs: Vec<&[u8]> = pages.iter_mut().zip(&data).map(|(page, data)| page.hold(data)).collect();
        check(&inputs);
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_digest(length in 0usize..5000, cuts in prop::collection::vec(0usize..900, 0..20)) {
        let data = bytes(length, 1);
        let (mut hasher, mut rest) = (Hasher::default(), data.as_slice());
        for cut in cuts {
            hasher.update(rest.split_off(..cut.min(rest.len())).unwrap());
        }
        hasher.update(rest);
        prop_assert_eq!(hasher.finish(), oracle(&data));
    }
}
