//! What of an old version is the prefix of which part of the new one: both ends compute it from the two sizes.

use std::ops::Range;

/// Up to this size, old and new alike, a file is patched in one frame.
pub(crate) const WHOLE: u64 = 64 << 20;
/// Larger ones are patched in parts of this size.
const SEGMENT: u64 = 32 << 20;
/// So much of the old version before and behind the place of a segment is searched too.
const OVERLAP: u64 = 8 << 20;

/// The segments of the new version, each with the part of the old one that is its prefix.
///
/// What was inserted or removed before a segment has moved its content by at most the difference of the sizes, as
/// far as changes go one way; where that is more than a segment, only one of both places is searched.
pub(crate) fn segments(old: u64, new: u64) -> impl Iterator<Item = (Range<u64>, Range<u64>)> {
    let whole = old <= WHOLE && new <= WHOLE;
    let size = if whole { WHOLE } else { SEGMENT };
    (0..new.div_ceil(size).max(1)).map(move |number| {
        let (start, end) = (number * size, new.min((number + 1) * size));
        if whole {
            return (start..end, 0..old);
        }
        let moved = new.abs_diff(old);
        let (back, ahead) = match moved {
            0..=SEGMENT if new > old => (moved, 0),
            0..=SEGMENT => (0, moved),
            _ => (0, 0),
        };
        let from = start.saturating_sub(OVERLAP + back).min(old);
        (start..end, from..(end + OVERLAP + ahead).min(old))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_the_new_version_and_their_prefixes_are_bounded() {
        for (old, new) in
            [(0, 0), (9, 0), (0, 9), (WHOLE, WHOLE), (WHOLE + 1, 5), (1, 5 << 30), (5 << 30, (5 << 30) + 77)]
        {
            let mut at = 0;
            for (part, prefix) in segments(old, new) {
                assert_eq!(part.start, at);
                assert!(prefix.start <= prefix.end && prefix.end <= old);
                assert!(prefix.end - prefix.start <= WHOLE.max(2 * SEGMENT + 2 * OVERLAP));
                at = part.end;
            }
            assert_eq!(at, new);
        }
    }

    #[test]
    fn what_an_insertion_moved_lies_in_the_prefix() {
        let (old, inserted) = (1 << 30, 20 << 20);
        for (part, prefix) in segments(old, old + inserted).skip(1) {
            assert!(prefix.start <= part.start - inserted && prefix.end >= (part.end - inserted).min(old));
        }
    }
}
