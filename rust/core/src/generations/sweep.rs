//! What is beyond the limits goes, oldest first, and what is left of its files is written together.
//!
//! A generation that goes leaves its file as a pack, which costs a rename. Packs are looked through when there
//! are many, or when the store is too large: what no generation needs is left behind, and the rest of small
//! and half-empty packs moves into the file of the oldest generation, which is written anew with its whole
//! manifest. So each content is moved a few times at most, however many generations come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::folder::Kind;
use super::layout::{Row, Trailer};
use super::pack::Pack;
use super::record::Changes;
use super::writer::Writer;
use super::{Generations, Shared};
use crate::{Entry, Manifest, Result};

/// So many packs may lie about.
const PACKS: usize = 64;

/// How much is to be gained.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    /// Fewer files.
    Order,
    /// Fewer bytes, whatever has to be copied for it.
    Room,
    /// So few bytes that contents of the only generation left have to go.
    Bytes(u64),
}

/// The contents that are needed, by pack and place.
type Needed = BTreeMap<u64, Vec<bool>>;

impl Generations {
    /// Drops the generations beyond the limits and what only they needed; returns how many were dropped. Slow when
    /// files are written together, so it comes after everything that waits.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] if the store is closed, [`crate::Error::Io`] for the disk; what was not done is done by the next sweep.
    pub fn sweep(&self) -> Result<usize> {
        let _writing = self.writing()?;
        let limits = self.limits();
        let mut dropped = 0;
        while self.kept() > limits.count.max(1) {
            dropped += self.retire_oldest()?;
        }
        if self.bytes() <= limits.bytes {
            if self.shared.state().retired().count() > PACKS {
                self.gather(Need::Order)?;
            }
            return Ok(dropped);
        }
        // A little more than needed goes, or the next generation would cost as much again.
        let aim = limits.bytes / 4 * 3;
        loop {
            self.gather(Need::Room)?;
            if self.bytes() <= aim {
                return Ok(dropped);
            }
            if self.kept() <= 1 {
                self.gather(Need::Bytes(aim))?;
                return Ok(dropped);
            }
            dropped += self.retire_oldest()?;
        }
    }

    fn kept(&self) -> usize {
        self.shared.state().kept.len()
    }

    fn bytes(&self) -> u64 {
        self.shared.state().bytes()
    }

    fn retire_oldest(&self) -> Result<usize> {
        let mut state = self.shared.state();
        let Some(oldest) = state.kept.first().copied() else { return Ok(0) };
        self.folder.retire(oldest)?;
        state.kept.remove(&oldest);
        Ok(1)
    }

    /// Writes what is needed of the packs that are not worth keeping into the oldest generation's file.
    fn gather(&self, need: Need) -> Result<()> {
        let Some((oldest, manifest)) = self.oldest_readable() else { return self.remove_all() };
        let (packs, own) = {
            let state = self.shared.state();
            let retired: BTreeMap<u64, Arc<Pack>> =
                state.retired().map(|(number, pack)| (number, Arc::clone(pack))).collect();
            (retired, state.packs.get(&oldest).cloned())
        };
        let Some(own) = own else { return Ok(()) };
        let needed = needed(&self.shared, &manifest, oldest, &packs);
        let mut moving = moving(&packs, &needed, need);
        let over = matches!(need, Need::Bytes(_));
        if moving.is_empty() && !over {
            return Ok(());
        }
        let room = if let Need::Bytes(room) = need { room.saturating_sub(room_of(&manifest)) } else { u64::MAX };
        let mut writer = Writer::begin(&self.folder, room)?;
        // Who was cut short between a new file and the end of the old ones has contents twice.
        let mut held = BTreeSet::new();
        let mut once = |mut rows: Vec<Row>| {
            rows.retain(|row| held.insert(row.digest));
            rows
        };
        copy(&own, once(own.rows().into_iter().map(|(_, row)| row).collect()), &mut writer)?;
        for (number, rows) in &mut moving {
            copy(&packs[number], once(std::mem::take(rows)), &mut writer)?;
        }
        let trailer = Trailer { base: 0, chain: 0, changes: 0, ..own.trailer.clone() };
        let pack = writer.finish(trailer, |out| manifest.write_native(out))?;
        let mut state = self.shared.state();
        state.packs.insert(oldest, Arc::new(pack));
        state.packs.retain(|number, _| !moving.contains_key(number));
        drop(state);
        moving.keys().try_for_each(|number| self.remove(*number))
    }

    /// The oldest generation whose manifest can be read; those before it are none any more.
    fn oldest_readable(&self) -> Option<(u64, Arc<Manifest>)> {
        loop {
            let oldest = self.shared.state().kept.first().copied()?;
            if let Some(manifest) = self.manifest(oldest) {
                return Some((oldest, manifest));
            }
        }
    }

    /// There is no generation left that needs anything.
    fn remove_all(&self) -> Result<()> {
        let packs = std::mem::take(&mut self.shared.state().packs);
        packs.keys().try_for_each(|number| self.remove(*number))
    }

    fn remove(&self, number: u64) -> Result<()> {
        self.folder.unlink(number, Kind::Pack)?;
        // A generation that could not be read never became a pack by name.
        self.folder.unlink(number, Kind::Generation)
    }
}

/// Which contents of `packs` some generation needs.
fn needed(shared: &Shared, oldest: &Manifest, number: u64, packs: &BTreeMap<u64, Arc<Pack>>) -> Needed {
    let mut needed: Needed = packs.iter().map(|(number, pack)| (*number, vec![false; pack.count()])).collect();
    let mut mark = |entries: &[Entry]| {
        for entry in entries {
            for (number, pack) in packs {
                for place in pack.places(&entry.digest) {
                    if let Some(needed) = needed.get_mut(number).and_then(|places| places.get_mut(place)) {
                        *needed = true;
                    }
                }
            }
        }
    };
    mark(oldest.entries());
    let later: Vec<Arc<Pack>> = {
        let state = shared.state();
        state.kept.range(number + 1..).filter_map(|number| state.packs.get(number)).cloned().collect()
    };
    for pack in later {
        // What cannot be read is found when the manifest is asked for; it needs nothing.
        let Some(record) = pack.record() else { continue };
        if pack.trailer.base == 0 {
            mark(Manifest::read_native(record.as_slice(), u64::MAX).unwrap_or_default().entries());
        } else {
            mark(&Changes::read(&record).unwrap_or_default().now);
        }
    }
    needed
}

/// The packs that go, and what of each has to be kept.
fn moving(packs: &BTreeMap<u64, Arc<Pack>>, needed: &Needed, need: Need) -> BTreeMap<u64, Vec<Row>> {
    let all: u64 = packs.values().map(|pack| pack.length).sum();
    let mut moving = BTreeMap::new();
    for (number, pack) in packs {
        let places = needed.get(number).map_or(&[][..], Vec::as_slice);
        let is_needed = |place: usize| places.get(place).copied().unwrap_or(false);
        let rows = pack.rows().into_iter().filter(|(place, _)| is_needed(*place)).map(|(_, row)| row);
        let rows: Vec<Row> = rows.collect();
        let live: u64 = rows.iter().map(|row| row.stored).sum();
        let worth_keeping = match need {
            Need::Order => live >= pack.length / 2 && pack.length >= all / 4,
            Need::Room => live >= pack.length / 8 * 7,
            Need::Bytes(_) => false,
        };
        if !worth_keeping {
            moving.insert(*number, rows);
        }
    }
    moving
}

/// In the order in which they lie there.
fn copy(pack: &Arc<Pack>, mut rows: Vec<Row>, writer: &mut Writer<'_>) -> Result<()> {
    rows.sort_unstable_by_key(|row| row.offset);
    rows.iter().try_for_each(|row| writer.copied(row, pack.frame(row)))
}

/// Bytes that a whole manifest may take: a digest, a time, and most of a path for each entry.
fn room_of(manifest: &Manifest) -> u64 {
    let path = |entry: &Entry| entry.path.as_str().len() as u64 + 80;
    manifest.entries().iter().map(path).sum::<u64>() + 1024
}
