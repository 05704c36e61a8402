//! Many messages in few lanes: which runs where, and when a lane takes the next.

use super::avx512::{BLOCK, Eight, LANES};
use super::{Digest, of_one};

/// A message in a lane.
struct Running<'a> {
    input: usize,
    rest: &'a [u8],
}

impl<'a> Running<'a> {
    /// Whole blocks before the one that ends the message.
    fn blocks_before_last(&self) -> usize {
        self.rest.len().saturating_sub(1) / BLOCK
    }

    fn split_off(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

/// The digests of `inputs`, eight at a time.
pub(super) fn of_many(mut eight: Eight, inputs: &[&[u8]]) -> Vec<Digest> {
    let mut digests = vec![Digest([0; 64]); inputs.len()];
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    // Longest first: the lanes then end together.
    order.sort_unstable_by_key(|&input| std::cmp::Reverse(inputs[input].len()));
    let mut next = order.iter().copied();
    for input in next.by_ref().take(alone(inputs, &order)) {
        digests[input] = of_one(inputs[input]);
    }
    let mut lanes: [Option<Running<'_>>; LANES] = [const { None }; LANES];
    loop {
        for (lane, slot) in lanes.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
            if let Some(input) = next.next() {
                eight.restart(lane);
                *slot = Some(Running { input, rest: inputs[input] });
            }
        }
        let Some(blocks) = lanes.iter().flatten().map(Running::blocks_before_last).min() else { return digests };
        if blocks > 0 {
            whole(&mut eight, &mut lanes, blocks * BLOCK);
        } else {
            last(&mut eight, &mut lanes, &mut digests);
        }
    }
}

/// How many of the longest messages go through a stream of their own.
///
/// Eight lanes do about four times the work of one stream, so a message much longer than the others
/// would leave seven lanes empty for twice the time. Counted in the lanes' time for one byte.
fn alone(inputs: &[&[u8]], order: &[usize]) -> usize {
    let mut rest: usize = inputs.iter().map(|input| input.len().max(BLOCK)).sum();
    let (mut streamed, mut best) = (0, (usize::MAX, 0));
    for (count, &input) in order.iter().enumerate() {
        let length = inputs[input].len().max(BLOCK);
        best = best.min((streamed + rest.max(LANES * length), count));
        streamed += 4 * length;
        rest -= length;
        if streamed > best.0 {
            return best.1;
        }
    }
    best.min((streamed, order.len())).1
}

/// Every lane goes on by so many bytes. An empty one repeats the work of another, for nobody.
fn whole(eight: &mut Eight, lanes: &mut [Option<Running<'_>>; LANES], length: usize) {
    let some = lanes.iter().flatten().next().map_or(&[][..], |running| &running.rest[..length]);
    let data = lanes.each_mut().map(|lane| lane.as_mut().map_or(some, |running| running.split_off(length)));
    eight.compress(data, [BLOCK as u64; LANES], [0; LANES]);
}

/// One block in each lane, the last of its message in at least one; finished lanes become empty.
fn last(eight: &mut Eight, lanes: &mut [Option<Running<'_>>; LANES], digests: &mut [Digest]) {
    let mut padded = [[0; BLOCK]; LANES];
    let (mut counts, mut ends) = ([0; LANES], [0; LANES]);
    for (lane, slot) in lanes.iter_mut().enumerate() {
        let Some(running) = slot else { continue };
        ends[lane] = if running.blocks_before_last() == 0 { u64::MAX } else { 0 };
        let block = running.split_off(BLOCK);
        counts[lane] = block.len() as u64;
        padded[lane][..block.len()].copy_from_slice(block);
    }
    eight.compress(padded.each_ref().map(<[u8; BLOCK]>::as_slice), counts, ends);
    for (lane, slot) in lanes.iter_mut().enumerate() {
        if ends[lane] != 0
            && let Some(running) = slot.take()
        {
            digests[running.input] = eight.digest(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_far_longer_than_the_others_go_alone() {
        let count = |lengths: &[usize]| {
            let data: Vec<Vec<u8>> = lengths.iter().map(|length| vec![0; *length]).collect();
            let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            alone(&inputs, &(0..inputs.len()).collect::<Vec<_>>())
        };
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[9000]), 1);
        assert_eq!(count(&[5000; 4]), 0);
        assert_eq!(count(&[5000; 100]), 0);
        assert_eq!(count(&[[900_000].as_slice(), &[1000; 100]].concat()), 1);
    }
}
