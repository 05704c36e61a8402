//! How finely a file system tells the times of two changes.
//!
//! On most the clock ticks: a file that changes twice within a tick, with a look in between, looks the same both
//! times. Kernels from 6.13 on give a change a time of its own once somebody has looked at the one before (ext4, XFS,
//! Btrfs, tmpfs): nothing hides there, and nobody waits for a tick to pass. Which it is shows when it is tried.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, Stat, fstat, openat};
use rustix::io::{pwrite, retry_on_intr};

use crate::beneath::Home;
use crate::index;
use crate::table::OWN_FOLDER;

/// So many pairs of changes must all be told apart: by chance a tick falls between two once in a thousand times.
const PAIRS: u8 = 8;

/// See the module; as far as is known of one home.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grain {
    /// The device whose file system tells every change from what was seen before it.
    fine: Option<u64>,
}

impl Grain {
    /// Tries it in the node's own folder, on a file that never has a name. Where that cannot be done the clock ticks.
    pub(crate) fn of(home: &Home) -> Self {
        Self { fine: home.folder(OWN_FOLDER).and_then(tried).unwrap_or_default() }
    }

    /// Whether a file that looks like this will look different after its next change.
    pub(crate) fn is_fine(self, stat: &Stat) -> bool {
        self.fine == Some(device(stat))
    }
}

fn tried(folder: impl AsFd) -> rustix::io::Result<Option<u64>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(folder, ".", flags, Mode::RUSR | Mode::WUSR)?;
    let changed = |round| {
        retry_on_intr(|| pwrite(&file, &[round], 0))?;
        fstat(&file)
    };
    for round in 0..PAIRS {
        let [one, other] = [changed(round)?, changed(round)?].map(|stat| index::Stat::from(&stat));
        if one.ctime_ns == other.ctime_ns {
            return Ok(None);
        }
    }
    Ok(Some(device(&fstat(&file)?)))
}

#[allow(clippy::unnecessary_cast, reason = "the type differs by machine")]
fn device(stat: &Stat) -> u64 {
    stat.st_dev as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_device_is_not_vouched_for() {
        let folder = tempfile::tempdir().unwrap();
        let stat = rustix::fs::stat(folder.path()).unwrap();
        assert!(!Grain::default().is_fine(&stat));
        assert!(Grain { fine: Some(device(&stat)) }.is_fine(&stat));
        assert!(!Grain { fine: Some(device(&stat) ^ 1) }.is_fine(&stat));
    }

    #[test]
    fn without_a_folder_of_its_own_a_home_is_not_tried_and_trying_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let stat = fstat(&home).unwrap();
        assert!(!Grain::of(&home).is_fine(&stat));
        std::fs::create_dir(folder.path().join(OWN_FOLDER)).unwrap();
        Grain::of(&home);
        assert_eq!(std::fs::read_dir(folder.path().join(OWN_FOLDER)).unwrap().count(), 0);
    }

    #[test]
    fn threat_35_where_it_is_called_fine_no_change_looks_like_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(OWN_FOLDER)).unwrap();
        let grain = Grain::of(&Home::open(folder.path()).unwrap());
        let path = folder.path().join("file");
        let mut before = None;
        for round in 0..200_u8 {
            std::fs::write(&path, [round]).unwrap();
            let stat = rustix::fs::stat(&path).unwrap();
            let now = index::Stat::from(&stat).ctime_ns;
            assert!(!grain.is_fine(&stat) || before != Some(now), "{now} twice");
            before = Some(now);
        }
    }
}
