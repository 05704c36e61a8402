//! A container or a bundle becomes the tree: all of it or nothing.
//!
//! 1. Unpack into a fresh stage on the file system of each target, hashing ([`unpack`], [`bundle`], [`intake`]).
//! 2. Verify every hash, path and rule ([`verify`], [`admit`]); find the steps and what stands in their way ([`survey`]).
//! 3. Make the stage durable, then the journal: from here on a crash finishes the work ([`journal`]).
//! 4. Take away what goes, make folders, exchange what changes: one rename each ([`steps`]).
//! 5. Make it durable; one more rename commits. The stage now holds the previous version.
//!
//! Whatever fails before the commit is taken back, and the error says so. A reader of the tree may see
//! both versions for the milliseconds of step 4.

mod admit;
mod bundle;
mod intake;
pub(crate) mod journal;
mod meter;
mod receive;
mod recover;
mod remember;
mod stage;
mod staged;
mod steps;
mod survey;
mod unpack;
mod verify;
mod workspace;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::Journal;
use receive::Place;
use stage::Stages;
use staged::StagedFiles;
use steps::{Kind, Mover};
use survey::Survey;
use unpack::Unpacked;
use workspace::{HIDDEN, Workspace};

pub use recover::Recovered;
pub(crate) use workspace::{failed, make, names};

use crate::beneath::Home;
use crate::{Budget, Digest, Error, FilesTable, Manifest, Plan, RelPath, Result, index};

/// Changes one tree, a container at a time.
#[derive(Clone, Debug)]
pub struct Applier {
    /// Root of the tree.
    pub home: PathBuf,
    /// Which files may be written, and how.
    pub table: Arc<FilesTable>,
    /// User and group id of what is written; `None` for the process's own.
    pub owner: Option<(u32, u32)>,
    /// How many replaced versions stay.
    pub keep_previous: usize,
    /// What a container may hold.
    pub budget: Budget,
}

/// The outcome of one transaction.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What was asked for.
    pub plan: Arc<Plan>,
    /// What the tree holds now, after a bundle; a container does not tell.
    pub manifest: Option<Arc<Manifest>>,
    /// Files written.
    pub written: usize,
    /// Files deleted; those that were not there are not counted.
    pub deleted: usize,
    /// Folders that the deletions emptied and that were removed, or that stood in the way and were empty.
    pub folders_removed: usize,
    /// Bytes of the files written.
    pub bytes_written: u64,
    /// Time of each phase.
    pub times: Times,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Unpacking, hashing, staging.
    pub unpack: Duration,
    /// Making the stage and the journal durable.
    pub sync: Duration,
    /// The renames.
    pub exchange: Duration,
    /// Making the new tree durable, committing, and the index.
    pub commit: Duration,
}

impl Applier {
    /// Unpacks, verifies and applies a master's container, or changes nothing.
    ///
    /// # Errors
    /// [`Error::HeldBack`] if it deletes more than `most_deleted` files and brings none.
    /// [`Error::BadData`], [`Error::BadPath`], [`Error::Mismatch`], [`Error::Limit`]: the container is refused.
    /// [`Error::Conflict`]: the tree stands in the way. [`Error::Io`]: the disk does. In each case the tree is
    /// as it was, unless the text says that taking back failed too: then [`Applier::recover`] goes on with it.
    pub fn apply(&self, container: &Path, most_deleted: Option<usize>) -> Result<Applied> {
        let source = File::open(container).map_err(Error::io("open", container))?;
        self.transaction(|workspace, number, mut clock| {
            let mut stages = Stages::begin(workspace, number, self.owner)?;
            let unpacked = unpack::unpack(source, self.budget, &self.table, &mut stages)?;
            verify::verify(&unpacked.plan, &unpacked.files, &self.table)?;
            let held = || index::remembered(&self.home, &self.table).map(|remembered| remembered.entries().len());
            // Where files come as well it is another tree, as at a first meeting, and no folder that is not mounted.
            let most = most_deleted.filter(|_| unpacked.plan.missing.is_empty() && unpacked.plan.shared.is_empty());
            verify::hold_back(unpacked.plan.extra.len(), most, held)?;
            self.change(workspace, stages, unpacked, &mut clock)
        })
    }

    /// Applies a master's bundle while it arrives, or changes nothing.
    ///
    /// `base` is what the tree holds, and `root` where the bundle leads. The outcome has the manifest of the new tree.
    ///
    /// # Errors
    /// As [`Applier::apply`]; [`Error::Drifted`] if a file that the bundle builds on is not what `base` says, and
    /// [`Error::HeldBack`] if it deletes more than `most_deleted` files.
    pub fn apply_bundle(
        &self,
        source: impl Read,
        base: &Manifest,
        root: Digest,
        most_deleted: Option<usize>,
    ) -> Result<Applied> {
        self.transaction(|workspace, number, mut clock| {
            let mut stages = Stages::begin(workspace, number, self.owner)?;
            let place = Place { home: workspace.home, table: &self.table };
            let (unpacked, manifest) =
                bundle::unpack(source, base, (root, most_deleted), self.budget, place, &mut stages)?;
            let applied = self.change(workspace, stages, unpacked, &mut clock)?;
            Ok(Applied { manifest: Some(Arc::new(manifest)), ..applied })
        })
    }

    /// Finishes or undoes an apply that a crash cut short, and removes what it left. Call it before anything else.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Conflict`] if the disk or the tree does not let it. A journal that is damaged is
    /// none: it is set aside, and so is what its transaction had replaced.
    pub fn recover(&self) -> Result<Option<Recovered>> {
        let home = Home::open(&self.home)?;
        let workspace = self.locked(&home)?;
        let recovered = recover::settle(&workspace)?;
        workspace.empty_trash()?;
        Ok(recovered)
    }

    /// Goes back to the version before the last apply; how many steps that took.
    ///
    /// What somebody changed since then stays. A crash in the middle of it is finished by [`Self::recover`].
    ///
    /// # Errors
    /// [`Error::Conflict`] if no such version is kept; [`Error::Io`] if the disk does not let it.
    pub fn rollback(&self) -> Result<usize> {
        let home = Home::open(&self.home)?;
        let workspace = self.locked(&home)?;
        recover::settle(&workspace)?;
        recover::roll_back(&workspace)
    }

    /// Removes versions beyond `keep_previous`, and leftovers; returns how many. Slow, and in nobody's way.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk does not let it; the next call goes on.
    pub fn sweep(&self) -> Result<usize> {
        let home = Home::open(&self.home)?;
        recover::sweep(&Workspace::open(&home)?, self.keep_previous)
    }

    fn locked<'a>(&self, home: &'a Home) -> Result<Workspace<'a>> {
        let workspace = Workspace::open(home)?;
        if workspace.lock()? {
            return Ok(workspace);
        }
        let why = "another apply is at work on this tree; wait for it, or stop the other node".to_owned();
        Err(Error::Conflict { path: self.home.display().to_string(), why })
    }

    /// Runs `work` as the only one on this tree; what it leaves when it fails is removed.
    fn transaction(&self, work: impl FnOnce(&Workspace<'_>, u64, Clock) -> Result<Applied>) -> Result<Applied> {
        let home = Home::open(&self.home)?;
        let workspace = self.locked(&home)?;
        if let Some(Recovered::SetAside(why)) = recover::settle(&workspace)? {
            // What comes was made for a tree that is not known any more; the next round looks at all of it.
            let why = format!("an apply that was cut short has been {}; try again", Recovered::SetAside(why));
            return Err(Error::Conflict { path: HIDDEN.to_owned(), why });
        }
        let number = workspace.next_number()?;
        let applied = work(&workspace, number, Clock(Instant::now()));
        if applied.is_err() {
            // Frees the disk, the first remedy if that was full; a failure here hides no cause.
            let _ = workspace.discard(number).and_then(|()| workspace.empty_trash());
        } else if self.keep_previous == 0 {
            recover::sweep(&workspace, 0)?;
        }
        applied
    }

    /// Makes the tree what was unpacked and verified.
    fn change(
        &self,
        workspace: &Workspace<'_>,
        mut stages: Stages<'_>,
        unpacked: Unpacked,
        clock: &mut Clock,
    ) -> Result<Applied> {
        let (number, mut times) = (stages.number, Times::default());
        let Unpacked { plan, mut files } = unpacked;
        if plan.is_empty() {
            // No new version, so the previous one stays: a master sends this when all files wait for a later round.
            workspace.discard(number)?;
            return Ok(Applied::default());
        }
        drop_unlisted(&plan, &mut files, &mut stages)?;
        let survey = survey::survey(workspace.home, &self.table, &mut stages, &plan, &files)?;
        for step in survey.steps.iter().filter(|step| step.kind == Kind::PutFolder) {
            stages.make_folder(step.mount, step.item)?;
        }
        times.unpack = clock.lap();

        let Survey { steps, emptied, deleted, folders_removed } = survey;
        let journal = Journal { number, mounts: stages.mounts(), steps };
        journal.write(workspace, &mut stages)?;
        stages.sync()?;
        times.sync = clock.lap();

        let changed = journal::activate(workspace, number).and_then(|()| exchange(workspace, &journal, &emptied));
        times.exchange = clock.lap();
        let renamed = clock.0;
        // Threat 34: a tree that is not known to be durable is not activated.
        let committed = changed.and_then(|()| stages.sync()).and_then(|()| journal::commit(workspace, number));
        if let Err(error) = committed {
            return Err(recover::take_back(workspace, &journal, error));
        }
        // The tree is new whether this succeeds or not; without it the next scan reads what changed.
        let _ = remember::remember(workspace.home, journal.steps, &files, renamed);
        times.commit = clock.lap();
        let (written, bytes_written) = (files.len(), files.bytes());
        Ok(Applied { written, plan: Arc::new(plan), deleted, folders_removed, bytes_written, times, manifest: None })
    }
}

/// Drops what the plan does not list.
fn drop_unlisted(plan: &Plan, files: &mut StagedFiles, stages: &mut Stages<'_>) -> Result<()> {
    let mut listed: Vec<&RelPath> = plan.written().map(|entry| &entry.path).collect();
    listed.sort_unstable();
    files.keep(&listed).into_iter().try_for_each(|unlisted| stages.drop_item(unlisted))
}

fn exchange(workspace: &Workspace<'_>, journal: &Journal, emptied: &[(usize, Vec<String>)]) -> Result<()> {
    let mut mover = Mover::new(workspace, &journal.mounts, journal.number, &journal.steps)?;
    let mut emptied = emptied.iter().peekable();
    for (at, step) in journal.steps.iter().enumerate() {
        mover.forward(step)?;
        if let Some((_, left)) = emptied.next_if(|(emptied, _)| *emptied == at) {
            // A file that somebody put there since the survey must not go with its folder.
            if mover.taken_names(step)?.iter().any(|name| !left.contains(name)) {
                let why = "a file was put into this folder while it was being removed; try again".to_owned();
                return Err(Error::Conflict { path: step.path.to_string(), why });
            }
        }
    }
    Ok(())
}

struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> Duration {
        let lap = self.0.elapsed();
        self.0 += lap;
        lap
    }
}
