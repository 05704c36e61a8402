//! The committed seeds and changes of them, the same in every run: what `cargo test` knows of fuzzing.
//!
//! `OUTRIDER_FUZZ_RUNS` says how many changes each target gets.

use std::fs;
use std::path::Path;

use super::TARGETS;

const RUNS: usize = 5000;
const INTERESTING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'/', b'"', b'.'];

/// Chance with a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

fn changed(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(4) {
        let (at, end) = (chance.below(bytes.len() + 1), chance.below(bytes.len() + 1));
        match chance.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = INTERESTING[chance.below(INTERESTING.len())],
            2 => bytes.insert(at, u8::try_from(chance.below(256)).unwrap()),
            3 => drop(bytes.drain(at.min(end)..at.max(end).min(at.min(end) + 16))),
            4 => bytes.truncate(at),
            5 => {
                let piece = bytes[at.min(end)..at.max(end)].to_vec();
                drop(bytes.splice(at..at, piece.into_iter().take(64)));
            }
            _ => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn threat_06_seeds_and_what_chance_makes_of_them_break_no_parser() {
    let runs = std::env::var("OUTRIDER_FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    for (target, run) in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in &seeds {
            run(seed);
        }
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        for at in 0..runs {
            let bytes = changed(&seeds, &mut chance);
            let panicked = std::panic::catch_unwind(|| run(&bytes)).is_err();
            assert!(!panicked, "change {at} of {target}: {}", bytes.escape_ascii());
        }
    }
    println!("{} targets, {runs} changes each", TARGETS.len());
}
