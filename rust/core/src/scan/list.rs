//! One folder: which of its names take part, and what is known of them.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, FileType, RawDir, statat};
use rustix::io::Errno;

use super::queue::{Candidate, Folder, Job, Piece};
use super::{Problem, Shared, not_regular};
use crate::plan::fold;
use crate::table::OWN_FOLDER;
use crate::{FileRule, RelPath};

/// Files in one piece: enough to be worth a lock, few enough that a flat folder keeps all threads busy.
const PIECE: usize = 256;

/// Lists `folder`: folders below it and all pieces but one go to the queue; that one is returned.
pub(super) fn list<'i>(shared: &Shared<'i>, folder: &Folder, problems: &mut Vec<Problem>) -> Option<Piece<'i>> {
    let handle = match shared.home.folder(folder.path.as_str()) {
        Ok(handle) => handle,
        // A folder that is not there has no files (specification 4.4); so has one that just went.
        Err(Errno::NOENT) => return None,
        Err(error) => {
            let why = match error {
                Errno::LOOP => "it is a link; links to folders are not entered".to_owned(),
                Errno::NOTDIR => "it is no folder, or a link".to_owned(),
                error => format!("cannot open it: {error}"),
            };
            problems.push(Problem::new(folder.path.as_str(), why));
            return None;
        }
    };
    let mut files = Listing::new(shared, folder, problems).read(&handle);
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // A listing may tell a name twice when the folder changes meanwhile.
    files.dedup_by(|a, b| a.path == b.path);
    match_index(shared, folder, &mut files);
    let handle = Arc::new(handle);
    while files.len() > PIECE {
        let files = files.split_off(files.len() - PIECE);
        shared.queue.push(Job::Piece(Piece { handle: Arc::clone(&handle), rule: folder.rule, files }));
    }
    Some(Piece { handle, rule: folder.rule, files })
}

struct Listing<'a, 'i> {
    shared: &'a Shared<'i>,
    folder: &'a Folder,
    rule: &'a FileRule,
    /// Rows that come before ours and may claim a file here.
    earlier: Vec<&'a FileRule>,
    problems: &'a mut Vec<Problem>,
    files: Vec<Candidate<'i>>,
    folders: Vec<RelPath>,
}

impl<'a, 'i> Listing<'a, 'i> {
    fn new(shared: &'a Shared<'i>, folder: &'a Folder, problems: &'a mut Vec<Problem>) -> Self {
        let rules = &shared.table.rules;
        let inside = |rule: &&FileRule| {
            let below = folder.path.as_str().strip_prefix(rule.folder.trim_end_matches('/'));
            below.is_some_and(|below| below.is_empty() || (rule.recursive && below.starts_with('/')))
        };
        let earlier = rules.iter().take(folder.rule).filter(inside).collect();
        let (files, folders) = (Vec::new(), Vec::new());
        Self { shared, folder, rule: &rules[folder.rule], earlier, problems, files, folders }
    }

    fn read(mut self, handle: &OwnedFd) -> Vec<Candidate<'i>> {
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut entries = RawDir::new(handle, buffer.spare_capacity_mut());
        let mut path = format!("{}/", self.folder.path);
        let prefix = path.len();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::NOENT) => break,
                Err(error) => {
                    self.problems.push(Problem::new(self.folder.path.as_str(), format!("cannot list it: {error}")));
                    break;
                }
            };
            let name = entry.file_name();
            let kind = match entry.file_type() {
                // Some file systems do not say it in the listing.
                FileType::Unknown => statat(handle, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                kind => kind,
            };
            path.truncate(prefix);
            self.add(name.to_bytes(), kind, &mut path);
        }
        if self.may_hold_twins() {
            self.shared.twins.store(true, Ordering::Relaxed);
        }
        for path in self.folders {
            self.shared.queue.push(Job::Folder(Folder { path, rule: self.folder.rule }));
        }
        self.files
    }

    fn add(&mut self, name: &[u8], kind: FileType, path: &mut String) {
        if name == b"." || name == b".." || name == OWN_FOLDER.as_bytes() {
            return;
        }
        path.push_str(&String::from_utf8_lossy(name));
        let wanted = match str::from_utf8(name) {
            Ok(_) if kind == FileType::Directory => self.rule.recursive,
            Ok(name) => self.wants(name),
            Err(_) => {
                self.problems.push(Problem::new(path, "its name is not UTF-8".to_owned()));
                false
            }
        };
        if !wanted {
            return;
        }
        match (RelPath::new(path), kind) {
            (Err(error), _) => self.problems.push(Problem::new(path, error.to_string())),
            (Ok(path), FileType::Directory) => self.folders.push(path),
            (Ok(path), _) if self.earlier.iter().any(|rule| rule.admits(&path)) => {}
            (Ok(path), FileType::RegularFile | FileType::Symlink) => {
                self.files.push(Candidate { path, is_link: kind == FileType::Symlink, known: None });
            }
            (Ok(path), other) => self.problems.push(Problem::new(path.as_str(), not_regular(other))),
        }
    }

    fn wants(&self, name: &str) -> bool {
        !self.shared.table.excludes(name)
            && self.rule.names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name))
    }

    /// Most folders hold only names that folding leaves alone: these need no second look.
    fn may_hold_twins(&self) -> bool {
        let names = || self.files.iter().map(|file| &file.path).chain(&self.folders).map(RelPath::name);
        let folds = |name: &str| name.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii());
        let mut seen = HashSet::new();
        names().any(folds) && !names().all(|name| seen.insert(fold(name)))
    }
}

/// Both sides are sorted by name: one walk over them.
fn match_index<'i>(shared: &Shared<'i>, folder: &Folder, files: &mut [Candidate<'i>]) {
    if shared.rehash {
        return;
    }
    let mut known = shared.index.folder(folder.path.as_str()).peekable();
    for file in files {
        let name = file.path.name().as_bytes();
        while known.next_if(|(other, _)| *other < name).is_some() {}
        file.known = known.next_if(|(other, _)| *other == name).map(|(_, kept)| kept);
    }
}
