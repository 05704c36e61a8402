//! Where new files wait: a fresh folder on each mount that they are going to.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, StatxFlags, Uid, chmodat, chownat, fchmod, fchown, fstat, mkdirat, openat, statx,
    syncfs, unlinkat,
};
use rustix::io::Errno;

use super::workspace::{MOUNTS, Workspace, failed};
use crate::index::Stat;
use crate::{Digest, Error, Result};

/// Mode of folders that did not exist (specification 5.5).
const FOLDER_MODE: Mode = Mode::RWXU.union(Mode::RWXG);

/// A file in the stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    pub(super) item: u64,
    pub(super) mount: usize,
    pub(super) stat: Stat,
    pub(super) digest: Digest,
}

/// The stages of one transaction.
pub(super) struct Stages<'a> {
    workspace: &'a Workspace<'a>,
    pub(super) number: u64,
    owner: Option<(u32, u32)>,
    mounts: Vec<Mount>,
    /// Folder of the tree to its mount.
    known: HashMap<String, usize>,
    next_item: u64,
}

struct Mount {
    /// Where it begins, below the home; "" is the home's own.
    folder: String,
    id: u64,
    stage: Option<OwnedFd>,
}

impl<'a> Stages<'a> {
    pub(super) fn begin(workspace: &'a Workspace<'a>, number: u64, owner: Option<(u32, u32)>) -> Result<Self> {
        let id = mount_id(workspace.home.as_fd(), "").map_err(failed("look at", workspace.home.join("")))?;
        let stage = Some(workspace.make_stage("", number)?);
        let home = Mount { folder: String::new(), id, stage };
        let known = HashMap::from([(String::new(), 0)]);
        Ok(Self { workspace, number, owner, mounts: vec![home], known, next_item: 0 })
    }

    /// The folders where the mounts begin; those that hold no stage are empty names.
    pub(super) fn mounts(&self) -> Vec<String> {
        self.mounts.iter().map(|mount| mount.folder.clone()).collect()
    }

    /// Mount number of a folder of the tree, which need not exist yet.
    pub(super) fn mount_of(&mut self, folder: &str) -> Result<usize> {
        if let Some(mount) = self.known.get(folder) {
            return Ok(*mount);
        }
        let parent = self.mount_of(folder.rsplit_once('/').map_or("", |(parent, _)| parent))?;
        let mount = match self.workspace.home.folder(folder) {
            Ok(handle) => {
                let id = mount_id(handle.as_fd(), "").map_err(failed("look at", self.workspace.home.join(folder)))?;
                if id == self.mounts[parent].id { parent } else { self.add_mount(folder, id) }
            }
            Err(Errno::NOENT | Errno::NOTDIR) => parent,
            Err(Errno::LOOP) => return Err(link_in_the_way(folder)),
            Err(error) => return Err(failed("open", self.workspace.home.join(folder))(error)),
        };
        self.known.insert(folder.to_owned(), mount);
        Ok(mount)
    }

    /// Whether a mount begins at this folder.
    pub(super) fn is_mount_root(&self, folder: &str) -> bool {
        self.mounts.iter().any(|mount| mount.folder == folder)
    }

    /// The mount id that a file in a folder of this mount must have.
    pub(super) fn id(&self, mount: usize) -> u64 {
        self.mounts[mount].id
    }

    fn add_mount(&mut self, folder: &str, id: u64) -> usize {
        self.mounts.push(Mount { folder: folder.to_owned(), id, stage: None });
        self.mounts.len() - 1
    }

    /// The stage on a mount, made when it is first needed.
    pub(super) fn stage(&mut self, mount: usize) -> Result<BorrowedFd<'_>> {
        if self.mounts[mount].stage.is_none() {
            // First on the list, then made: what a crash leaves is found by the list.
            self.list_mounts(mount)?;
            let made = self.workspace.make_stage(&self.mounts[mount].folder, self.number)?;
            self.mounts[mount].stage = Some(made);
        }
        match &self.mounts[mount].stage {
            Some(stage) => Ok(stage.as_fd()),
            None => Err(failed("open", self.workspace.home.join(&self.mounts[mount].folder))(Errno::BADF)),
        }
    }

    fn list_mounts(&mut self, adding: usize) -> Result<()> {
        let used = self.mounts.iter().enumerate().filter(|(i, mount)| mount.stage.is_some() || *i == adding);
        let list = used.map(|(_, mount)| mount.folder.as_str()).collect::<Vec<_>>().join("\0");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.workspace.stage_path("", self.number).join(MOUNTS);
        let home = self.stage(0)?;
        let file = openat(home, MOUNTS, flags, Mode::RUSR | Mode::WUSR).map_err(failed("make", &path))?;
        File::from(file).write_all(list.as_bytes()).map_err(Error::io("write", path))
    }

    /// The next free item number.
    pub(super) fn item(&mut self) -> u64 {
        self.next_item += 1;
        self.next_item - 1
    }

    /// Makes an empty file for a target folder; [`Self::seal`] completes it.
    pub(super) fn create(&mut self, folder: &str) -> Result<(Open, File)> {
        let mount = self.mount_of(folder)?;
        let item = self.item();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(self.stage(mount)?, item.to_string(), flags, Mode::RUSR | Mode::WUSR);
        let file = made.map_err(|error| self.refused("make", mount, item)(error))?;
        Ok((Open { mount, item }, File::from(file)))
    }

    /// Gives a written file its owner and mode.
    pub(super) fn seal(&self, open: Open, file: &File, mode: u32, digest: Digest) -> Result<Staged> {
        let Open { mount, item } = open;
        if let Some((user, group)) = self.owner {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            fchown(file, Some(user), Some(group)).map_err(self.refused("set the owner of", mount, item))?;
        }
        fchmod(file, Mode::from_raw_mode(mode & 0o777)).map_err(self.refused("set the mode of", mount, item))?;
        let stat = fstat(file).map_err(self.refused("look at", mount, item))?;
        Ok(Staged { item, mount, stat: Stat::from(&stat), digest })
    }

    /// Writes one part of a file.
    pub(super) fn write(&self, open: Open, file: &mut File, data: &[u8]) -> Result<()> {
        file.write_all(data).map_err(Error::io("write", self.item_path(open.mount, open.item)))
    }

    /// Makes an empty folder with the mode and owner that it will have in the tree.
    pub(super) fn make_folder(&mut self, mount: usize, item: u64) -> Result<()> {
        let owner = self.owner;
        let stage = self.stage(mount)?;
        let name = item.to_string();
        let made = mkdirat(stage, &name, FOLDER_MODE)
            // The process's umask has no say in it.
            .and_then(|()| chmodat(stage, &name, FOLDER_MODE, AtFlags::empty()))
            .and_then(|()| match owner {
                None => Ok(()),
                Some((user, group)) => {
                    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
                    chownat(stage, &name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
                }
            });
        made.map_err(self.refused("make", mount, item))
    }

    /// Removes a file that the plan does not list.
    pub(super) fn drop_item(&mut self, staged: Staged) -> Result<()> {
        let removed = unlinkat(self.stage(staged.mount)?, staged.item.to_string(), AtFlags::empty());
        removed.map_err(self.refused("remove", staged.mount, staged.item))
    }

    /// Everything written to the stages' file systems so far is durable afterwards.
    pub(super) fn sync(&self) -> Result<()> {
        for mount in &self.mounts {
            if let Some(stage) = &mount.stage {
                let path = self.workspace.stage_path(&mount.folder, self.number);
                syncfs(stage).map_err(failed("sync the file system of", path))?;
            }
        }
        Ok(())
    }

    fn item_path(&self, mount: usize, item: u64) -> std::path::PathBuf {
        self.workspace.stage_path(&self.mounts[mount].folder, self.number).join(item.to_string())
    }

    fn refused(&self, action: &'static str, mount: usize, item: u64) -> impl FnOnce(Errno) -> Error {
        failed(action, self.item_path(mount, item))
    }
}

/// A staged file that is being written.
#[derive(Clone, Copy)]
pub(super) struct Open {
    mount: usize,
    item: u64,
}

/// The mount that something lies on; `""` is the handle itself. Where the kernel does not tell (before 5.8), the device.
pub(super) fn mount_id(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(mount_in(&statx(at, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?))
}

/// The mount id in a stat.
pub(super) fn mount_in(stat: &rustix::fs::Statx) -> u64 {
    if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
        stat.stx_mnt_id
    } else {
        (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor)
    }
}

pub(super) fn link_in_the_way(folder: &str) -> Error {
    Error::Conflict {
        path: folder.to_owned(),
        why: "a link stands where a folder is needed; replace it by a folder".to_owned(),
    }
}
