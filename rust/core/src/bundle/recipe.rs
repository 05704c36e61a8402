//! A file out of chunks that its receiver has, and literal bytes for the rest.
//!
//! ```text
//! literal  varint 2 * length, then the bytes
//! copy     varint 2 * length + 1, then where from: a zigzag varint, counted from the end of the copy before
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;

use super::varint;
use crate::chunk::Chunk;

/// Makes a recipe out of the chunks of a new version.
pub(super) struct Recipe<'a> {
    old: &'a [Chunk],
    /// Chunk to its number and place in the old version.
    places: HashMap<Chunk, (usize, u64)>,
    copy: Option<Copy>,
    /// Where the copy before ended.
    ended: u64,
}

struct Copy {
    start: u64,
    length: u64,
    /// The number of the old chunk that would go on with it.
    next: usize,
}

impl<'a> Recipe<'a> {
    pub(super) fn new(old: &'a [Chunk]) -> Self {
        let mut places = HashMap::with_capacity(old.len());
        let mut at = 0;
        for (number, chunk) in old.iter().enumerate() {
            places.entry(*chunk).or_insert((number, at));
            at += u64::from(chunk.length);
        }
        Self { old, places, copy: None, ended: 0 }
    }

    /// Takes the next chunk of the new version.
    pub(super) fn chunk(&mut self, chunk: Chunk, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let length = u64::from(chunk.length);
        if let Some(copy) = self.copy.as_mut().filter(|copy| self.old.get(copy.next) == Some(&chunk)) {
            copy.length += length;
            copy.next += 1;
            return Ok(());
        }
        self.finish(out)?;
        if let Some((number, start)) = self.places.get(&chunk) {
            self.copy = Some(Copy { start: *start, length, next: number + 1 });
            return Ok(());
        }
        varint::write(length << 1, out)?;
        out.extend_from_slice(content);
        Ok(())
    }

    /// Writes the copy that could have grown.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(Copy { start, length, .. }) = self.copy.take() else { return Ok(()) };
        varint::write((length << 1) | 1, out)?;
        let moved = start.wrapping_sub(self.ended).cast_signed();
        varint::write(((moved << 1) ^ (moved >> 63)).cast_unsigned(), out)?;
        self.ended = start + length;
        Ok(())
    }
}

/// Follows a recipe: reading it gives the new version.
pub(crate) struct RecipeReader<'a, R> {
    recipe: R,
    old: &'a File,
    /// Bytes that the command at hand still gives.
    left: u64,
    copies: bool,
    /// Where the next copied byte lies.
    at: u64,
}

impl<'a, R: BufRead> RecipeReader<'a, R> {
    pub(crate) fn new(recipe: R, old: &'a File) -> Self {
        Self { recipe, old, left: 0, copies: false, at: 0 }
    }

    /// Begins the next command; false at the end. A command gives at least a byte, so that no recipe is longer to
    /// follow than what comes of it.
    fn begin(&mut self) -> io::Result<bool> {
        if self.recipe.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let command = varint::read(&mut self.recipe)?;
        (self.left, self.copies) = (command >> 1, command & 1 == 1);
        if self.left == 0 {
            return Err(io::Error::other("a recipe holds an empty command"));
        }
        if self.copies {
            let moved = varint::read(&mut self.recipe)?;
            self.at = self.at.wrapping_add((moved >> 1) ^ (moved & 1).wrapping_neg());
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for RecipeReader<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() || (self.left == 0 && !self.begin()?) {
            return Ok(0);
        }
        let most = room.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = if self.copies {
            // Past what a file can have: `read_at` would refuse it as a number of its own.
            if self.at > i64::MAX.cast_unsigned() { 0 } else { self.old.read_at(&mut room[..most], self.at)? }
        } else {
            self.recipe.read(&mut room[..most])?
        };
        if got == 0 {
            return Err(io::Error::other("a recipe needs more than there is"));
        }
        self.left -= got as u64;
        self.at = self.at.wrapping_add(if self.copies { got as u64 } else { 0 });
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::chunk::cut;

    fn noise(seed: u64, size: usize) -> Vec<u8> {
        let mut x = seed;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x.to_be_bytes()[1]
        };
        (0..size).map(|_| next()).collect()
    }

    fn recipe(old: &[u8], new: &[u8]) -> Vec<u8> {
        let mut chunks = Vec::new();
        cut(old, |chunk, _| {
            chunks.push(chunk);
            Ok(())
        })
        .unwrap();
        let (mut recipe, mut out) = (Recipe::new(&chunks), Vec::new());
        cut(new, |chunk, content| recipe.chunk(chunk, content, &mut out)).unwrap();
        recipe.finish(&mut out).unwrap();
        out
    }

    fn follow(recipe: &[u8], old: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(old).unwrap();
        let mut new = Vec::new();
        RecipeReader::new(recipe, &file).take(1 << 22).read_to_end(&mut new)?;
        Ok(new)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn a_recipe_makes_the_new_version_of_the_old_one(
            seed in any::<u64>(), size in 0_usize..400_000, cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..50_000), 0..4),
        ) {
            let old = noise(seed, size);
            let mut new = Vec::new();
            for (at, length) in cuts {
                let at = at.index(size + 1);
                new.extend_from_slice(&old[at..size.min(at + length * 4)]);
                new.extend(noise(seed ^ length as u64, length));
            }
            prop_assert_eq!(follow(&recipe(&old, &new), &old).unwrap(), new);
        }

        #[test]
        fn threat_07_rubbish_gives_no_more_than_it_holds(rubbish in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = follow(&rubbish, b"some old content");
        }
    }

    #[test]
    fn what_did_not_change_is_two_numbers() {
        let old = noise(5, 1_000_000);
        assert!(recipe(&old, &old).len() < 8);
        assert!(follow(&[0], &old).is_err() && follow(&[0x0b, 0x01], &old).is_err());
    }
}
