//! After a failure or a crash: finish, take back, clear away.

use super::journal::{self, Journal};
use super::steps::Mover;
use super::workspace::{JOURNAL, UNDO, Workspace, failed};
use crate::{Error, Result};

/// What became of a transaction that a crash cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// The new tree stands.
    Finished,
    /// The old tree stands.
    Undone,
}

/// Brings the tree to one version and clears away what no version needs; the workspace must be locked.
pub(super) fn settle(workspace: &Workspace<'_>) -> Result<Option<Recovered>> {
    let recovered = if let Some(journal) = Journal::read(workspace, UNDO)? {
        undo(workspace, &journal)?;
        Some(Recovered::Undone)
    } else if let Some(journal) = Journal::read(workspace, JOURNAL)? {
        match finish(workspace, &journal) {
            Ok(()) => Some(Recovered::Finished),
            Err(error) => {
                journal::mark_undo(workspace, journal.number)?;
                undo(workspace, &journal).map_err(|also| both(&error, &also))?;
                Some(Recovered::Undone)
            }
        }
    } else {
        None
    };
    discard_leftovers(workspace)?;
    Ok(recovered)
}

/// Takes back a transaction that failed after its journal was written; gives the error to report.
pub(super) fn take_back(workspace: &Workspace<'_>, journal: &Journal, error: Error) -> Error {
    // Unmarked, a crash in the middle of this finishes the transaction instead: that is whole, too.
    let marked = journal::mark_undo(workspace, journal.number);
    match undo(workspace, journal) {
        Ok(()) => put_back(error),
        Err(also) => both(&error, &marked.err().unwrap_or(also)),
    }
}

/// Removes versions beyond `keep`, and leftovers if nobody is at work; how many transactions.
pub(super) fn sweep(workspace: &Workspace<'_>, keep: usize) -> Result<usize> {
    let committed = workspace.stages()?.into_iter().filter_map(|(number, committed)| committed.then_some(number));
    let mut committed: Vec<u64> = committed.collect();
    committed.reverse();
    for number in committed.into_iter().skip(keep) {
        workspace.discard(number)?;
    }
    workspace.empty_trash()
}

fn finish(workspace: &Workspace<'_>, journal: &Journal) -> Result<()> {
    let mut mover = Mover::new(workspace, &journal.mounts, journal.number, &journal.steps)?;
    journal.steps.iter().try_for_each(|step| mover.finish(step))?;
    sync(workspace, journal)?;
    journal::commit(workspace, journal.number)
}

fn undo(workspace: &Workspace<'_>, journal: &Journal) -> Result<()> {
    let mut mover = Mover::new(workspace, &journal.mounts, journal.number, &journal.steps)?;
    journal.steps.iter().rev().try_for_each(|step| mover.undo(step))?;
    sync(workspace, journal)?;
    journal::forget(workspace)
}

fn sync(workspace: &Workspace<'_>, journal: &Journal) -> Result<()> {
    for (at, mount) in journal.mounts.iter().enumerate() {
        if at == 0 || journal.steps.iter().any(|step| step.mount == at) {
            let stage = workspace.stage(mount, journal.number)?;
            let path = workspace.stage_path(mount, journal.number);
            rustix::fs::syncfs(stage).map_err(failed("sync the file system of", path))?;
        }
    }
    Ok(())
}

fn discard_leftovers(workspace: &Workspace<'_>) -> Result<()> {
    for (number, committed) in workspace.stages()? {
        if !committed {
            workspace.discard(number)?;
        }
    }
    Ok(())
}

/// What the disk refused, and what became of the tree.
fn put_back(error: Error) -> Error {
    let Error::Io { action, path, source } = error else { return error };
    let text = format!("{source}; the tree was put back as it was");
    Error::Io { action, path, source: std::io::Error::new(source.kind(), text) }
}

/// Both causes, since each has its own remedy.
fn both(error: &Error, also: &Error) -> Error {
    let why = format!("{error}; and the tree could not be put back ({also}): it is done at the next start");
    Error::Io { action: "undo a failed apply in", path: ".outrider".into(), source: std::io::Error::other(why) }
}
