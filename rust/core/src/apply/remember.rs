//! The index after an apply: what was hashed while it was staged need not be read by the next scan.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};

use rustix::fs::{AtFlags, statat};

use super::stage::Staged;
use super::steps::{Kind, Step};
use crate::beneath::Home;
use crate::index::{self, Record, SETTLE, Stat};
use crate::{RelPath, Result};

/// Updates the index for the files of a committed transaction, whose last rename was at `renamed`.
pub(super) fn remember(home: &Home, steps: &[Step], staged: &HashMap<RelPath, Staged>, renamed: Instant) -> Result<()> {
    // A stat that is as old as the change it shows could hide the next one.
    std::thread::sleep(SETTLE.saturating_sub(renamed.elapsed()));
    let mut folder: Option<(&str, OwnedFd)> = None;
    let mut written = Vec::with_capacity(staged.len());
    let mut removed = Vec::new();
    for step in steps {
        match (step.kind, staged.get(&step.path)) {
            (Kind::Put(_) | Kind::Swap(_), Some(staged)) => {
                if folder.as_ref().is_none_or(|(open, _)| *open != step.path.folder()) {
                    let Ok(handle) = home.folder(step.path.folder()) else { continue };
                    folder = Some((step.path.folder(), handle));
                }
                let Some((_, handle)) = &folder else { continue };
                let seen = SystemTime::now();
                let Ok(stat) = statat(handle, step.path.name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
                let stat = Stat::from(&stat);
                // The rename changed the ctime; anything else was somebody else, and is read by the next scan.
                let ours = Stat { ctime_ns: stat.ctime_ns, ..staged.stat } == stat;
                if ours && stat.settled(seen) {
                    written.push(Record { path: step.path.clone(), stat, digest: staged.digest });
                }
            }
            (Kind::Take, _) => removed.push(step.path.clone()),
            _ => {}
        }
    }
    index::update(&home.join(""), written, &removed)
}
