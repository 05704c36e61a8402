//! The index after an apply: what was hashed while it was staged need not be read by the next scan.

use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};

use rustix::fs::{AtFlags, statat};

use super::stage::Staged;
use super::staged::StagedFiles;
use super::steps::{Kind, Step};
use crate::beneath::Home;
use crate::grain::Grain;
use crate::index::{self, Change, SETTLE, Stat};
use crate::{RelPath, Result};

/// Updates the index for the files of a committed transaction, whose last rename was at `renamed`.
pub(super) fn remember(home: &Home, mut steps: Vec<Step>, staged: &StagedFiles, renamed: Instant) -> Result<()> {
    // All but sorted, coming from a survey; the stable sort is made for that.
    steps.sort_by(|a, b| index::order(&a.path, &b.path));
    let mut looker = Looker { grain: Grain::of(home), renamed, folder: None };
    let changes = steps.iter().filter_map(|step| {
        let path = &step.path;
        match (step.kind, staged.get(path)) {
            (Kind::Put(_) | Kind::Swap(_), Some(staged)) => {
                let stat = looker.look(home, path, staged)?;
                Some(Change { path, now: Some((stat, staged.digest)) })
            }
            (Kind::Take, None) => Some(Change { path, now: None }),
            _ => None,
        }
    });
    index::update(&home.join(""), changes)
}

struct Looker {
    grain: Grain,
    renamed: Instant,
    /// The folder that was looked into last.
    folder: Option<(String, OwnedFd)>,
}

impl Looker {
    /// How an applied file looks, if it is still ours and the look is late enough to be kept.
    fn look(&mut self, home: &Home, path: &RelPath, staged: &Staged) -> Option<Stat> {
        if self.folder.as_ref().is_none_or(|(open, _)| open != path.folder()) {
            self.folder = Some((path.folder().to_owned(), home.folder(path.folder()).ok()?));
        }
        let (_, folder) = self.folder.as_ref()?;
        let look = || statat(folder, path.name(), AtFlags::SYMLINK_NOFOLLOW).ok();
        let mut seen = SystemTime::now();
        let mut raw = look()?;
        let fine = self.grain.is_fine(&raw);
        if !fine && self.renamed.elapsed() < SETTLE {
            // A stat that is as old as the change it shows could hide the next one. One wait serves all.
            std::thread::sleep(SETTLE.saturating_sub(self.renamed.elapsed()));
            (seen, raw) = (SystemTime::now(), look()?);
        }
        let stat = Stat::from(&raw);
        // The rename changed the ctime; anything else was somebody else, and is read by the next scan.
        let ours = Stat { ctime_ns: stat.ctime_ns, ..staged.stat } == stat;
        (ours && (fine || stat.settled(seen))).then_some(stat)
    }
}
