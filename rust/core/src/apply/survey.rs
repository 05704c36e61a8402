//! A verified plan and the tree as it stands: which steps lead from one to the other, in which order.
//!
//! Looks, and changes nothing. What stands in the way of the plan is a conflict and ends the
//! transaction: a folder that is not empty in the place of a file, a file that stays in the place
//! of a folder, links, devices and mounted files.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::io::Errno;

use super::stage::{Stages, link_in_the_way, mount_in};
use super::staged::StagedFiles;
use super::steps::{Kind, Step};
use super::workspace::{failed, names};
use crate::beneath::Home;
use crate::{Error, FilesTable, Plan, RelPath, Result};

/// What will be done.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) steps: Vec<Step>,
    /// Folders that are taken away: the step, and the names that may lie in it.
    pub(super) emptied: Vec<(usize, Vec<String>)>,
    pub(super) deleted: usize,
    pub(super) folders_removed: usize,
}

/// What stands at a path.
enum Found {
    Nothing,
    /// A file, or a link, which is never followed.
    File,
    Folder,
    /// A device, a pipe, a socket.
    Other,
    /// Something that is mounted on its own.
    Mounted,
}

pub(super) struct Surveyor<'a, 'b> {
    home: &'a Home,
    table: &'a FilesTable,
    stages: &'a mut Stages<'b>,
    /// Sorted.
    written: Vec<&'a RelPath>,
    taken: HashSet<String>,
    /// Folders of the tree that are known: whether each exists, or is made by a step.
    folders: HashMap<String, bool>,
    last: Option<(String, Option<OwnedFd>)>,
    survey: Survey,
}

/// Finds the steps of `plan`, whose staged files are `files`.
pub(super) fn survey(
    home: &Home,
    table: &FilesTable,
    stages: &mut Stages<'_>,
    plan: &Plan,
    files: &StagedFiles,
) -> Result<Survey> {
    let mut written: Vec<_> = plan.written().map(|entry| &entry.path).collect();
    written.sort_unstable();
    let mut surveyor = Surveyor {
        home,
        table,
        stages,
        written,
        taken: HashSet::new(),
        folders: HashMap::from([(String::new(), true)]),
        last: None,
        survey: Survey::default(),
    };
    surveyor.deletions(plan)?;
    surveyor.emptied_folders(plan)?;
    surveyor.files(files)?;
    Ok(surveyor.survey)
}

impl Surveyor<'_, '_> {
    fn deletions(&mut self, plan: &Plan) -> Result<()> {
        let mut paths: Vec<_> = plan.extra.iter().map(|entry| &entry.path).collect();
        paths.sort();
        for path in paths {
            match self.look(path.folder(), path.name())? {
                Found::File => {
                    self.take(path.clone())?;
                    self.survey.deleted += 1;
                }
                Found::Mounted => return Err(mounted(path.as_str())),
                // Not there, or not the file that was listed: nothing to delete.
                Found::Nothing | Found::Folder | Found::Other => {}
            }
        }
        Ok(())
    }

    /// Specification 5.5, step 6; the deepest first, so that a chain of emptied folders goes as a whole.
    fn emptied_folders(&mut self, plan: &Plan) -> Result<()> {
        let held_extra = plan
            .extra
            .iter()
            .filter(|entry| self.table.rule(&entry.rule).is_some_and(|rule| rule.remove_subdirs_if_empty));
        let mut folders: Vec<&str> = held_extra.map(|entry| entry.path.folder()).collect();
        folders.sort_unstable_by(|a, b| b.cmp(a));
        folders.dedup();
        for folder in folders {
            let Ok(path) = RelPath::new(folder) else { continue };
            self.stages.mount_of(folder)?;
            if self.is_written_below(folder) || self.stages.is_mount_root(folder) {
                continue;
            }
            let Some(left) = self.left_in(folder)? else { continue };
            if left.iter().all(|name| self.table.excluded_files.contains(name)) {
                self.take_folder(path, left)?;
            }
        }
        Ok(())
    }

    fn is_written_below(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        let first = self.written.partition_point(|path| path.as_str() < below.as_str());
        self.written.get(first).is_some_and(|path| path.as_str().starts_with(&below))
    }

    fn files(&mut self, files: &StagedFiles) -> Result<()> {
        let mut moves = Vec::with_capacity(self.written.len());
        for path in self.written.clone() {
            let Some(file) = files.get(path) else { continue };
            let there = self.folder(path.folder())?;
            let found = if there { self.look(path.folder(), path.name())? } else { Found::Nothing };
            let kind = match found {
                Found::Nothing => Kind::Put(file.stat.ino),
                Found::File => Kind::Swap(file.stat.ino),
                Found::Folder => {
                    if !self.taken.contains(path.as_str()) {
                        self.clear(path)?;
                    }
                    Kind::Put(file.stat.ino)
                }
                Found::Mounted => return Err(mounted(path.as_str())),
                Found::Other => {
                    return Err(conflict(path.as_str(), "what stands there is not a regular file; move it away"));
                }
            };
            moves.push(Step { kind, path: path.clone(), mount: file.mount, item: file.item });
        }
        // Folders were added meanwhile; files come behind all of them. They are many, so it is they that stay.
        moves.splice(..0, self.survey.steps.drain(..)).for_each(drop);
        self.survey.steps = moves;
        Ok(())
    }

    /// Sees to it that a folder exists before its files come; whether it exists now.
    fn folder(&mut self, folder: &str) -> Result<bool> {
        if let Some(exists) = self.folders.get(folder) {
            return Ok(*exists);
        }
        let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        let path = RelPath::new(folder)?;
        if self.written.binary_search(&&path).is_ok() {
            let why = format!("it lists {folder} both as a file and as a folder");
            return Err(Error::BadData { what: "the container", why });
        }
        let there = self.folder(parent)?;
        let found = if there { self.look(parent, name)? } else { Found::Nothing };
        let exists = match found {
            Found::Folder => true,
            // A folder may well be a mount of its own.
            Found::Mounted if self.home.folder(folder).is_ok() => true,
            Found::Nothing => false,
            Found::File if self.taken.contains(folder) => false,
            Found::File if self.is_link(parent, name)? => return Err(link_in_the_way(folder)),
            Found::File | Found::Other | Found::Mounted => {
                return Err(conflict(folder, "a file stands where a folder is needed; move it away"));
            }
        };
        if !exists {
            let (mount, item) = (self.stages.mount_of(folder)?, self.stages.item());
            self.survey.steps.push(Step { kind: Kind::PutFolder, path, mount, item });
        }
        self.folders.insert(folder.to_owned(), exists);
        Ok(exists)
    }

    /// A folder in the place of a file goes if nothing but empty folders is left in it.
    fn clear(&mut self, path: &RelPath) -> Result<()> {
        let mut inside = vec![path.to_string()];
        let mut left = Vec::new();
        while let Some(folder) = inside.pop() {
            let names = self.left_in(&folder)?.unwrap_or_default();
            for name in &names {
                if !matches!(self.look(&folder, name)?, Found::Folder) {
                    return Err(conflict(path.as_str(), "a folder that is not empty stands where a file is needed"));
                }
                inside.push(format!("{folder}/{name}"));
            }
            if folder == path.as_str() {
                left = names;
            }
        }
        self.take_folder(path.clone(), left)
    }

    /// Names in a folder that are not taken away; `None` if it is not there.
    fn left_in(&mut self, folder: &str) -> Result<Option<Vec<String>>> {
        let Some(handle) = self.open(folder)? else { return Ok(None) };
        let listed = names(handle).map_err(failed("list", self.home.join(folder)))?;
        Ok(Some(listed.into_iter().filter(|name| !self.taken.contains(&format!("{folder}/{name}"))).collect()))
    }

    fn take_folder(&mut self, path: RelPath, left: Vec<String>) -> Result<()> {
        self.take(path)?;
        self.survey.emptied.push((self.survey.steps.len() - 1, left));
        self.survey.folders_removed += 1;
        Ok(())
    }

    fn take(&mut self, path: RelPath) -> Result<()> {
        let mount = self.stages.mount_of(path.folder())?;
        // Made now if it is the first item there: a stage that cannot be made changes nothing.
        self.stages.stage(mount)?;
        let item = self.stages.item();
        self.taken.insert(path.to_string());
        self.survey.steps.push(Step { kind: Kind::Take, path, mount, item });
        Ok(())
    }

    fn look(&mut self, folder: &str, name: &str) -> Result<Found> {
        let mount = self.stages.mount_of(folder)?;
        let id = self.stages.id(mount);
        let Some(handle) = self.open(folder)? else { return Ok(Found::Nothing) };
        let flags = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = match statx(handle, name, AtFlags::SYMLINK_NOFOLLOW, flags) {
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            stat => stat.map_err(failed("look at", self.home.join(folder).join(name)))?,
        };
        if mount_in(&stat) != id {
            return Ok(Found::Mounted);
        }
        Ok(match FileType::from_raw_mode(u32::from(stat.stx_mode)) {
            FileType::RegularFile | FileType::Symlink => Found::File,
            FileType::Directory => Found::Folder,
            _ => Found::Other,
        })
    }

    fn is_link(&mut self, folder: &str, name: &str) -> Result<bool> {
        let Some(handle) = self.open(folder)? else { return Ok(false) };
        let stat = rustix::fs::statat(handle, name, AtFlags::SYMLINK_NOFOLLOW);
        Ok(stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink))
    }

    /// A folder's handle, `None` if it is not there; the last one is kept open.
    fn open(&mut self, folder: &str) -> Result<Option<rustix::fd::BorrowedFd<'_>>> {
        if self.last.as_ref().is_none_or(|(open, _)| open != folder) {
            let handle = match self.home.folder(folder) {
                Ok(handle) => Some(handle),
                Err(Errno::NOENT | Errno::NOTDIR) => None,
                Err(Errno::LOOP) => return Err(link_in_the_way(folder)),
                Err(error) => return Err(failed("open", self.home.join(folder))(error)),
            };
            self.last = Some((folder.to_owned(), handle));
        }
        Ok(self.last.as_ref().and_then(|(_, handle)| handle.as_ref()).map(AsFd::as_fd))
    }
}

fn conflict(path: &str, why: &str) -> Error {
    Error::Conflict { path: path.to_owned(), why: why.to_owned() }
}

fn mounted(path: &str) -> Error {
    conflict(path, "something is mounted there, so it cannot be replaced as a whole; mount the folder instead")
}
