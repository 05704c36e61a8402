//! The index after an apply: what was hashed while it was staged need not be read by the next scan.

use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};

use rustix::fs::{AtFlags, statat};

use super::stage::Staged;
use super::staged::StagedFiles;
use super::steps::{Kind, Step};
use crate::beneath::Home;
use crate::index::{self, Change, SETTLE, Stat};
use crate::{RelPath, Result};

/// Updates the index for the files of a committed transaction, whose last rename was at `renamed`.
pub(super) fn remember(home: &Home, mut steps: Vec<Step>, staged: &StagedFiles, renamed: Instant) -> Result<()> {
    // A stat that is as old as the change it shows could hide the next one.
    std::thread::sleep(SETTLE.saturating_sub(renamed.elapsed()));
    // All but sorted, coming from a survey; the stable sort is made for that.
    steps.sort_by(|a, b| index::order(&a.path, &b.path));
    let mut last = Folder::default();
    let changes = steps.iter().filter_map(|step| {
        let path = &step.path;
        match (step.kind, staged.get(path)) {
            (Kind::Put(_) | Kind::Swap(_), Some(staged)) => {
                let stat = last.look(home, path, staged)?;
                Some(Change { path, now: Some((stat, staged.digest)) })
            }
            (Kind::Take, None) => Some(Change { path, now: None }),
            _ => None,
        }
    });
    index::update(&home.join(""), changes)
}

/// The folder that was looked into last.
#[derive(Default)]
struct Folder(Option<(String, OwnedFd)>);

impl Folder {
    /// How an applied file looks, if it is still ours and the look is late enough to be kept.
    fn look(&mut self, home: &Home, path: &RelPath, staged: &Staged) -> Option<Stat> {
        if self.0.as_ref().is_none_or(|(open, _)| open != path.folder()) {
            self.0 = Some((path.folder().to_owned(), home.folder(path.folder()).ok()?));
        }
        let (_, folder) = self.0.as_ref()?;
        let seen = SystemTime::now();
        let stat = Stat::from(&statat(folder, path.name(), AtFlags::SYMLINK_NOFOLLOW).ok()?);
        // The rename changed the ctime; anything else was somebody else, and is read by the next scan.
        let ours = Stat { ctime_ns: stat.ctime_ns, ..staged.stat } == stat;
        (ours && stat.settled(seen)).then_some(stat)
    }
}
