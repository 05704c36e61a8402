//! After a failure or a crash: finish, take back, clear away.

use std::fmt;

use super::journal::{self, DAMAGED, Found, Journal};
use super::steps::Mover;
use super::workspace::{HIDDEN, JOURNAL, UNDO, Workspace, failed};
use crate::{Error, Result};

/// What became of a transaction that a crash cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// The new tree stands.
    Finished,
    /// The old tree stands.
    Undone,
    /// Its journal is damaged, for this reason: the tree stays as it was found, and what the transaction
    /// had replaced stays as the previous version does.
    SetAside(String),
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Undone => f.write_str("undone"),
            Self::SetAside(why) => write!(
                f,
                "set aside, since its journal is damaged ({why}; see {HIDDEN}/{DAMAGED}): the tree may be a mix of two \
                 versions until a master brings it in step (if this node is the master, look at it yourself), and what \
                 was replaced stays in {HIDDEN}/stage until then"
            ),
        }
    }
}

/// Brings the tree to one version and clears away what no version needs; the workspace must be locked.
pub(super) fn settle(workspace: &Workspace<'_>) -> Result<Option<Recovered>> {
    let recovered = match (Journal::read(workspace, UNDO)?, Journal::read(workspace, JOURNAL)?) {
        (Found::Damaged(why), _) => Some(set_aside(workspace, UNDO, why)?),
        (Found::Whole(journal), _) => Some(undo(workspace, &journal).map(|()| Recovered::Undone)?),
        (Found::Nothing, Found::Damaged(why)) => Some(set_aside(workspace, JOURNAL, why)?),
        (Found::Nothing, Found::Whole(journal)) => Some(finish_or_undo(workspace, &journal)?),
        (Found::Nothing, Found::Nothing) => None,
    };
    discard_leftovers(workspace)?;
    Ok(recovered)
}

fn finish_or_undo(workspace: &Workspace<'_>, journal: &Journal) -> Result<Recovered> {
    let Err(error) = finish(workspace, journal) else { return Ok(Recovered::Finished) };
    journal::mark_undo(workspace, journal.number)?;
    undo(workspace, journal).map_err(|also| both(&error, &also))?;
    Ok(Recovered::Undone)
}

/// Without its journal nobody knows which of the staged files are new and which were replaced: all of
/// them stay, as a previous version does, and go when [`sweep`] takes such a version.
fn set_aside(workspace: &Workspace<'_>, name: &str, why: String) -> Result<Recovered> {
    for (number, committed) in workspace.stages()? {
        if !committed {
            workspace.keep(number)?;
        }
    }
    // A disk that damaged this may have damaged files, too: everything is read again.
    workspace.forget_index()?;
    journal::set_aside(workspace, name)?;
    Ok(Recovered::SetAside(why))
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

/// Takes back the last committed transaction: the version before it stands again, what somebody changed since stays.
///
/// A crash in the middle of it is finished by the next [`settle`].
pub(super) fn roll_back(workspace: &Workspace<'_>) -> Result<usize> {
    let committed = workspace.stages()?.into_iter().rev().find_map(|(number, committed)| committed.then_some(number));
    let nothing = |why: &str| Error::Conflict { path: HIDDEN.to_owned(), why: why.to_owned() };
    let Some(number) = committed else {
        return Err(nothing("no version before this one is kept (tree.keep_previous), so there is no way back"));
    };
    let journal = match Journal::read(workspace, &format!("stage/{number}/{JOURNAL}"))? {
        Found::Whole(journal) => journal,
        Found::Nothing | Found::Damaged(_) => return Err(nothing("the version before this one is damaged")),
    };
    journal::mark_undo(workspace, number)?;
    undo(workspace, &journal)?;
    discard_leftovers(workspace)?;
    Ok(journal.steps.len())
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::Digest;
    use crate::beneath::Home;

    /// A home with a transaction that was cut short: number 7, one old file in its stage.
    fn cut_short() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(".outrider");
        fs::create_dir_all(own.join("stage/7")).unwrap();
        fs::write(own.join("stage/7/0"), "old").unwrap();
        fs::write(own.join("index"), "of the tree before").unwrap();
        (folder, own)
    }

    fn settled(folder: &tempfile::TempDir) -> Option<Recovered> {
        let home = Home::open(folder.path()).unwrap();
        settle(&Workspace::open(&home).unwrap()).unwrap()
    }

    fn signed(json: &str) -> Vec<u8> {
        format!("{}\n{json}", Digest::of(json.as_bytes())).into_bytes()
    }

    #[test]
    fn threat_40_a_damaged_journal_is_set_aside_and_what_was_replaced_stays() {
        for name in [UNDO, JOURNAL] {
            for (text, said) in [
                (Vec::new(), "it is cut short"),
                ((0..255).collect(), "its digest does not match"),
                (signed(r#"{"version": 9}"#), "missing field"),
                (signed(r#"{"number": 7, "mounts": [""], "steps": [["x", 1, "a", 0, 0]]}"#), "does not know"),
                (signed(r#"{"number": 7, "mounts": [""], "steps": [["t", 0, "a", 1, 0]]}"#), "does not list"),
                (signed(r#"{"number": 7, "mounts": [""], "steps": [["t", 0, "../a", 0, 0]]}"#), "is refused"),
                (signed(r#"{"number": 8, "mounts": [""], "steps": []}"#), "8, are gone"),
            ] {
                let (folder, own) = cut_short();
                fs::write(own.join(DAMAGED), "an older one").unwrap();
                fs::write(own.join(name), &text).unwrap();
                let Some(Recovered::SetAside(why)) = settled(&folder) else { panic!("{said}: it was not set aside") };
                assert!(why.contains(said), "{why}");
                assert_eq!(fs::read(own.join(DAMAGED)).unwrap(), text);
                assert!(!own.join(name).exists() && !own.join("index").exists());
                assert_eq!(fs::read_to_string(own.join("stage/7/0")).unwrap(), "old");
                assert_eq!(settled(&folder), None, "it is told once");
            }
        }
    }

    #[test]
    fn threat_40_what_stands_in_a_journals_place_is_set_aside_whatever_it_is() {
        let make: [fn(PathBuf); 3] = [
            |place| fs::create_dir_all(place.join("inside")).unwrap(),
            |place| std::os::unix::fs::symlink("/etc/passwd", place).unwrap(),
            |place| rustix::fs::mknodat(rustix::fs::CWD, place, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
        ];
        let (folder, own) = cut_short();
        for make in make {
            make(own.join(JOURNAL));
            assert!(matches!(settled(&folder), Some(Recovered::SetAside(_))));
            assert!(own.join(DAMAGED).symlink_metadata().is_ok() && !own.join(JOURNAL).exists());
        }
    }

    #[test]
    fn what_was_set_aside_is_swept_like_any_version() {
        let (folder, own) = cut_short();
        fs::write(own.join(JOURNAL), "damaged").unwrap();
        settled(&folder);
        let home = Home::open(folder.path()).unwrap();
        let workspace = Workspace::open(&home).unwrap();
        assert_eq!((sweep(&workspace, 1).unwrap(), workspace.next_number().unwrap()), (0, 8));
        assert_eq!(sweep(&workspace, 0).unwrap(), 1);
        assert!(!own.join("stage/7").exists());
    }
}
