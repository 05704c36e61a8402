//! The last states of the master's tree: their manifests, and the contents they need, compressed.
//!
//! A generation is one file, written once and then only replaced as a whole: the contents that it brought,
//! an index of them, and its manifest, whole or as the changes since the generation before. So a crash
//! leaves the generations that were complete, and one changed file costs a file of its own size. Files of
//! generations that went stay as long as others need what lies in them; [`Generations::sweep`] writes the
//! remains together.
//!
//! The store is a help, never the truth: a content that is too large for it is not kept, one that the disk
//! changed is not handed out (threat 40), and who asks for either goes without it. Nothing is ever linked to
//! the tree, whose files change in place.
//!
//! What it costs: on disk the frames, 104 bytes for each content, some 70 for each entry of a whole manifest
//! (digests do not shrink), 352 for each generation; in memory 8 bytes for each content, one open file for each
//! file, and the latest manifest, which is the caller's.

mod copying;
mod folder;
mod layout;
pub(crate) mod pack;
mod peek;
pub(crate) mod record;
mod state;
mod sweep;
mod writer;

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Contents, Digest, Entry, Manifest, Result};
use folder::{Folder, Last, closed};
use layout::{Trailer, key_of};
use pack::{Found, Pack};
pub use peek::peek;
use record::Changes;
use state::{State, manifest_of};
use writer::Writer;

/// How many records of changes may follow a whole one: each is a file to open for who reads a manifest.
const CHAIN: u64 = 128;

/// How much a store keeps, as of the end of a [`Generations::sweep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationLimits {
    /// Generations; the latest is always kept, so 0 means 1.
    pub count: usize,
    /// Bytes of all files of the store, indexes and manifests included. An add may need as much again until the
    /// next sweep.
    pub bytes: u64,
}

/// One generation, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Generation {
    /// From 1 on; the next has the next number.
    pub number: u64,
    /// Root of its manifest.
    pub root: Digest,
    /// When the tree was looked at, in Unix seconds.
    pub time: f64,
    /// Files in the tree.
    pub files: u64,
    /// Bytes of its file in the store: what it brought, compressed, and its manifest.
    pub bytes: u64,
}

/// The store; one at a time has a home's folder open.
pub struct Generations {
    folder: Folder,
    limits: Mutex<GenerationLimits>,
    shared: Arc<Shared>,
    /// Held while files are added or removed; whether they still may be.
    writing: Mutex<Writing>,
}

#[derive(Clone, Copy, PartialEq)]
enum Writing {
    Open,
    Closed,
}

struct Shared {
    state: Mutex<State>,
    damaged: AtomicU64,
}

/// The contents that a store keeps, of any generation; outlives the store that it is of.
#[derive(Clone)]
pub struct GenerationContents(Arc<Shared>);

impl Generations {
    /// Opens the store of this home, making it if it is absent; `lineage` tells a new store from all others.
    ///
    /// Files that are not whole are removed and counted as [`damaged`](Self::damaged); one that cannot be opened now is
    /// counted, too, and stays for the next time. Numbers go on from the
    /// highest that was ever given, as far as any file still tells.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] if another store of this home is open, [`crate::Error::Io`] for the disk.
    pub fn open(home: &Path, limits: GenerationLimits, lineage: [u8; 16]) -> Result<Self> {
        let folder = Folder::open(home)?;
        let (state, damaged) = State::open(&folder, lineage)?;
        let shared = Arc::new(Shared { state: Mutex::new(state), damaged: AtomicU64::new(damaged) });
        Ok(Self { folder, limits: Mutex::new(limits), shared, writing: Mutex::new(Writing::Open) })
    }

    /// From now on so much is kept; what is beyond it goes with the next [`sweep`](Self::sweep).
    pub fn limit(&self, limits: GenerationLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> GenerationLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the folder back, so that another store may open it, whoever still refers to this one: what is kept can
    /// be read here as it was, and nothing is added.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the system does not take the lock back; it ends with the store then.
    pub fn close(&self) -> Result<()> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        *writing = Writing::Closed;
        self.folder.unlock()
    }

    /// What tells this store from another whose numbers mean nothing here.
    #[must_use]
    pub fn lineage(&self) -> [u8; 16] {
        self.shared.state().last.lineage
    }

    /// All generations, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Generation> {
        let state = self.shared.state();
        state.kept.iter().filter_map(|number| state.packs.get(number)).map(|pack| listed(pack)).collect()
    }

    /// The latest generation.
    #[must_use]
    pub fn latest(&self) -> Option<Generation> {
        let state = self.shared.state();
        state.packs.get(state.kept.last()?).map(|pack| listed(pack))
    }

    /// The latest generation with this root.
    #[must_use]
    pub fn find(&self, root: &Digest) -> Option<u64> {
        let state = self.shared.state();
        let has_root = |number: &&u64| state.packs.get(number).is_some_and(|pack| pack.trailer.root == *root);
        state.kept.iter().rev().find(has_root).copied()
    }

    /// The manifest of a generation; `None` if it is not kept, or is damaged and from now on not kept.
    #[must_use]
    pub fn manifest(&self, number: u64) -> Option<Arc<Manifest>> {
        let chain = {
            let state = self.shared.state();
            if !state.kept.contains(&number) {
                return None;
            }
            if let Some((_, latest)) = state.latest.as_ref().filter(|(latest, _)| *latest == number) {
                return Some(Arc::clone(latest));
            }
            state.chain(number)
        };
        let manifest = chain.as_deref().and_then(manifest_of).map(Arc::new);
        let mut state = self.shared.state();
        match &manifest {
            Some(manifest) if state.kept.last() == Some(&number) => state.latest = Some((number, Arc::clone(manifest))),
            None if state.kept.remove(&number) => _ = self.shared.damaged.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        manifest
    }

    /// The contents of all generations.
    #[must_use]
    pub fn contents(&self) -> GenerationContents {
        GenerationContents(Arc::clone(&self.shared))
    }

    /// Files, manifests and contents that were found damaged since the store was opened.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// Makes a tree the latest generation, durably; a tree with the root of the latest is the latest. Contents that are not kept yet are read from `tree` and verified.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] if a file changed since `manifest` was made or the store is closed, [`crate::Error::Io`] for the disk; the store is
    /// then as it was.
    pub fn add(&self, manifest: &Arc<Manifest>, tree: &dyn Contents, time: f64) -> Result<Generation> {
        let _writing = self.writing()?;
        let root = manifest.root();
        let latest = self.latest();
        if let Some(same) = latest.filter(|latest| latest.root == root) {
            return Ok(same);
        }
        let before = latest.and_then(|latest| Some((latest.number, self.manifest(latest.number)?)));
        let changes = before.as_ref().map(|(_, before)| Changes::between(before, manifest));
        let mut writer = Writer::begin(&self.folder, self.limits().bytes)?;
        copying::copy(&self.wanted(manifest, changes.as_ref()), tree, &mut writer)?;
        let (mut trailer, changes) = self.planned(before.map(|(number, _)| number).zip(changes), manifest);
        (trailer.root, trailer.time) = (root, time);
        let last = Last { lineage: trailer.lineage, number: trailer.number };
        let pack = writer.finish(trailer, |out| match &changes {
            Some(changes) => changes.write(out),
            None => manifest.write_native(out),
        })?;
        let added = listed(&pack);
        let mut state = self.shared.state();
        state.packs.insert(last.number, Arc::new(pack));
        state.kept.insert(last.number);
        (state.last, state.latest, state.complete) = (last, Some((last.number, Arc::clone(manifest))), true);
        drop(state);
        // The name of the file tells the number too; this is for the day on which that file is lost.
        self.folder.note_last(last).or_else(|_| self.folder.keep_last(last))?;
        Ok(added)
    }

    fn writing(&self) -> Result<MutexGuard<'_, Writing>> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if *writing == Writing::Open { Ok(writing) } else { Err(closed()) }
    }

    /// The entries whose contents are to be copied: one for each digest that is not kept.
    ///
    /// Only what changed is looked at, unless contents were lost or never looked for.
    fn wanted<'m>(&self, manifest: &'m Manifest, changes: Option<&'m Changes>) -> Vec<&'m Entry> {
        let state = self.shared.state();
        let looked_at = match changes {
            Some(changes) if state.complete => &changes.now,
            _ => manifest.entries(),
        };
        let mut seen = HashSet::new();
        looked_at.iter().filter(|entry| !state.holds(&entry.digest) && seen.insert(key_of(&entry.digest))).collect()
    }

    /// Number and kind of the next record: as changes while they are much smaller than the manifest.
    fn planned(&self, since: Option<(u64, Changes)>, manifest: &Manifest) -> (Trailer, Option<Changes>) {
        let state = self.shared.state();
        let files = manifest.entries().len() as u64;
        let next = since.and_then(|(base, changes)| {
            let before = &state.packs.get(&base)?.trailer;
            let (chain, count) = (before.chain + 1, before.changes + changes.count() as u64);
            (chain <= CHAIN && count.saturating_mul(2) <= files).then_some((base, chain, count, changes))
        });
        let (base, chain, changes) = next.as_ref().map_or((0, 0, 0), |(base, chain, count, _)| (*base, *chain, *count));
        let Last { lineage, number } = state.last;
        let trailer = Trailer {
            number: number + 1,
            base,
            chain,
            changes,
            time: 0.0,
            files,
            contents: 0,
            rows_at: 0,
            record_at: 0,
            lineage,
            root: Digest([0; 64]),
        };
        (trailer, next.map(|(.., changes)| changes))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A content was found damaged: the next add looks for all of them.
    fn damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        self.state().complete = false;
    }
}

impl Contents for GenerationContents {
    /// The content, right as a whole, or `None` if it is not kept. One over 8 MiB is read twice for that; should
    /// the disk change it in between, its reader ends in an error.
    fn open(&self, entry: &Entry) -> Result<Option<Box<dyn Read + Send>>> {
        let holders = self.0.state().holders(&entry.digest);
        for pack in holders {
            match pack.content(&entry.digest) {
                Found::Content(content) => return Ok(Some(content)),
                Found::Damage => self.0.damage(),
                Found::Nothing => {}
            }
        }
        Ok(None)
    }

    fn size(&self, entry: &Entry) -> Result<Option<u64>> {
        let holders = self.0.state().holders(&entry.digest);
        Ok(holders.iter().find_map(|pack| pack.size(&entry.digest)))
    }
}

fn listed(pack: &Pack) -> Generation {
    let Trailer { number, root, time, files, .. } = pack.trailer;
    Generation { number, root, time, files, bytes: pack.length }
}
