//! GB/s of each way to hash: one 64 MiB stream, 64 MiB of equal messages, and a mix as trees have it.
//!
//! `cargo run --release -p outrider-core --example hashing`

use std::time::Instant;

use outrider_core::{Digest, Lanes};

fn main() {
    let data = vec![7u8; 64 << 20];
    println!("one stream          {:.2}", rate(data.len(), || _ = Digest::of(&data)));
    let equal: Vec<&[u8]> = data.chunks(6 * 1024).collect();
    let mixed = mixed(&data);
    for lanes in Lanes::available() {
        let even = rate(data.len(), || equal.chunks(170).for_each(|batch| _ = lanes.of_many(batch)));
        let odd = rate(data.len(), || mixed.chunks(170).for_each(|batch| _ = lanes.of_many(batch)));
        println!("{:<20}{even:.2}, uneven {odd:.2}", format!("{lanes:?}"));
    }
}

/// Many small messages and few large ones.
fn mixed(data: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut seed, mut pieces) = (data, 1u64, Vec::new());
    while !rest.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let length = usize::try_from(300u64 << ((seed >> 40) % 9)).unwrap_or(300).min(rest.len());
        pieces.extend(rest.split_off(..length));
    }
    pieces
}

/// The best of five, in GB/s.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(bytes: usize, work: impl Fn()) -> f64 {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    bytes as f64 / best.min().unwrap_or_default().as_secs_f64() / 1e9
}
