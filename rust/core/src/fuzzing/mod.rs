//! Every parser that meets bytes from outside, as a function that must return whatever it is given.
//!
//! What a target asserts is what must hold of whatever a parser makes of its bytes: that it can be written and
//! read again, that another way of reading the same says the same. `rust/fuzz` searches for bytes that break this
//! (`make fuzz`); the test below tries the committed seeds and changes of them. No part of a release.

mod disk;
mod peers;
#[cfg(test)]
mod seeds;

/// A target: its name, which is also that of its seeds, and what it does with any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("agents", peers::agents),
    ("bundle", peers::bundle),
    ("bundle_header", peers::bundle_header),
    ("container", peers::container),
    ("frames", peers::frames),
    ("manifest", peers::manifest),
    ("metadata", peers::metadata),
    ("recipe", peers::recipe),
    ("relpath", peers::relpath),
    ("signatures", peers::signatures),
    ("table", peers::table),
    ("index", disk::index),
    ("journal", disk::journal),
    ("pack", disk::pack),
    ("record", disk::record),
];

/// Runs one target.
///
/// # Panics
/// If there is none of this name, or if it found something.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = found else { panic!("no target is called {name}") };
    target(bytes);
}

/// The first byte as a choice, and the rest.
fn choice(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest))
}
