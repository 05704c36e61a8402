//! What the store knows without asking the disk: which files it has, which are generations, and the latest manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustix::io::Errno;

use super::folder::{Folder, Kind, Last};
use super::pack::Pack;
use super::record::{Changes, rebuilt};
use crate::{Digest, Manifest, Result};

pub(super) struct State {
    /// Every file that is whole, by its number.
    pub(super) packs: BTreeMap<u64, Arc<Pack>>,
    /// Which of them are generations.
    pub(super) kept: BTreeSet<u64>,
    pub(super) last: Last,
    /// Number and manifest of the latest generation, once they were needed.
    pub(super) latest: Option<(u64, Arc<Manifest>)>,
    /// Whether all contents of the latest generation were looked for, and copied where they were not kept.
    pub(super) complete: bool,
}

impl State {
    /// Reads the folder; files that are not whole are removed, and counted as those are that cannot be opened.
    pub(super) fn open(folder: &Folder, lineage: [u8; 16]) -> Result<(Self, u64)> {
        let (mut packs, mut kept, mut highest, mut damaged) = (BTreeMap::new(), BTreeSet::new(), 0, 0);
        for (number, kind) in folder.files()? {
            highest = highest.max(number);
            let opened = match folder.read(number, kind).or_else(|_| folder.read(number, kind)) {
                Ok(file) => Pack::open(file),
                // A link, or what the disk has lost.
                Err(Errno::LOOP | Errno::IO | Errno::NXIO) => None,
                // Whatever else is in the way need not be at the next start: the file stays.
                Err(_) => {
                    damaged += 1;
                    continue;
                }
            };
            let Some(pack) = opened.filter(|pack| pack.trailer.number == number) else {
                folder.unlink(number, kind)?;
                damaged += 1;
                continue;
            };
            packs.insert(number, Arc::new(pack));
            if kind == Kind::Generation {
                kept.insert(number);
            }
        }
        let known = packs.values().next_back().map(|pack: &Arc<Pack>| pack.trailer.lineage);
        let noted = folder.last();
        let last = Last {
            lineage: noted.map(|last| last.lineage).or(known).unwrap_or(lineage),
            number: noted.map_or(0, |last| last.number).max(highest),
        };
        if noted != Some(last) {
            folder.keep_last(last)?;
        }
        let mut state = Self { packs, kept, last, latest: None, complete: false };
        damaged += state.drop_broken_chains();
        Ok((state, damaged))
    }

    /// Generations whose manifest leans on a file that is gone are none.
    fn drop_broken_chains(&mut self) -> u64 {
        let broken: Vec<u64> = self.kept.iter().copied().filter(|number| self.chain(*number).is_none()).collect();
        self.kept.retain(|number| !broken.contains(number));
        broken.len() as u64
    }

    /// The files whose records make the manifest of a generation, the whole one last.
    pub(super) fn chain(&self, number: u64) -> Option<Vec<Arc<Pack>>> {
        let (mut chain, mut next) = (Vec::new(), number);
        while next != 0 {
            // Bases are lower than what builds on them, so this ends.
            let pack = self.packs.get(&next)?;
            next = pack.trailer.base;
            chain.push(Arc::clone(pack));
        }
        Some(chain)
    }

    /// The files that may hold this content, latest first.
    pub(super) fn holders(&self, digest: &Digest) -> Vec<Arc<Pack>> {
        self.packs.values().rev().filter(|pack| pack.holds(digest)).cloned().collect()
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.packs.values().rev().any(|pack| pack.holds(digest))
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.packs.values().map(|pack| pack.length).sum()
    }

    /// The files of what is no generation any more.
    pub(super) fn retired(&self) -> impl Iterator<Item = (u64, &Arc<Pack>)> {
        self.packs.iter().map(|(number, pack)| (*number, pack)).filter(|(number, _)| !self.kept.contains(number))
    }
}

/// The manifest that a chain of records makes; `None` if one of them is not what was written.
pub(super) fn manifest_of(chain: &[Arc<Pack>]) -> Option<Manifest> {
    let (whole, changes) = chain.split_last()?;
    let whole = Manifest::read_native(whole.record()?.as_slice(), u64::MAX).ok()?;
    let changes: Option<Vec<Changes>> = changes.iter().rev().map(|pack| Changes::read(&pack.record()?).ok()).collect();
    let manifest = if chain.len() == 1 { whole } else { rebuilt(&whole, changes?.into_iter()) };
    let promised = chain.first()?.trailer.root;
    (manifest.root() == promised).then_some(manifest)
}
