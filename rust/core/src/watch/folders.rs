//! Which folders are watched: those of the table, those on the way to them, and what comes and goes below.
//!
//! Each folder has a watch of its own, set on a handle that was opened beneath the home, and only then is it listed:
//! what is made in it meanwhile is either in the listing or told. The way to a table folder is watched for the
//! next step alone, so that a folder that is made later, moved or made again is found.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::inotify::{ReadFlags, WatchFlags, add_watch, remove_watch};
use rustix::fs::{AtFlags, FileType, RawDir, statat};
use rustix::io::Errno;

use super::filesystem;
use crate::beneath::Home;
use crate::table::OWN_FOLDER;
use crate::{FilesTable, RelPath};

/// What is told: a file that was closed after writing rather than each write to it, so that a long one wakes nobody
/// before its end; and never that something was opened or read.
const TOLD: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CREATE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);
/// Containers on their way lie here, below whatever folder the table may name.
const CONTAINERS: &str = "queue/cluster";

pub(super) struct Folders {
    home: Home,
    table: Arc<FilesTable>,
    paths: HashMap<i32, Arc<str>>,
    watches: BTreeMap<Arc<str>, i32>,
    /// Why folders have no watch; another try may help.
    unwatched: Option<String>,
    /// A file system that does not tell what others change on it.
    remote: Option<String>,
}

impl Folders {
    pub(super) fn new(home: Home, table: Arc<FilesTable>) -> Self {
        let (paths, watches) = (HashMap::new(), BTreeMap::new());
        Self { home, table, paths, watches, unwatched: None, remote: None }
    }

    /// The folder of a watch, relative to the home.
    pub(super) fn path(&self, watch: i32) -> Option<Arc<str>> {
        self.paths.get(&watch).map(Arc::clone)
    }

    /// Whether a file at `path` travels.
    pub(super) fn admit(&self, path: &RelPath) -> bool {
        self.table.rule_for(path).is_some()
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.unwatched.clone().or_else(|| self.remote.clone())
    }

    /// Whether setting the watches once more could do better.
    pub(super) fn may_improve(&self) -> bool {
        self.unwatched.is_some()
    }

    /// The system gives no queue of events.
    pub(super) fn no_queue(&mut self, error: Errno) {
        self.unwatched = Some(match error {
            Errno::MFILE => {
                limit("fs.inotify.max_user_instances", "the programs of this user") + ", then restart the node"
            }
            error => format!("the system does not tell of changes ({error}); the interval of scans finds them"),
        });
    }

    /// Watches everything that the table wants and nothing else.
    pub(super) fn watch_all(&mut self, queue: &OwnedFd) {
        let earlier = std::mem::take(&mut self.paths);
        self.watches.clear();
        self.unwatched = None;
        self.remote = None;
        self.watch(queue, "");
        for watch in earlier.into_keys().filter(|watch| !self.paths.contains_key(watch)) {
            let _ = remove_watch(queue, watch); // the kernel drops that of a folder that is gone
        }
    }

    /// The folder at `path` came, went or has other attributes; whether that concerns anyone.
    pub(super) fn turned(&mut self, queue: &OwnedFd, path: &str, what: ReadFlags) -> bool {
        if !self.wants(path) {
            return false;
        }
        if !what.contains(ReadFlags::ATTRIB) || !self.watches.contains_key(path) {
            // Whatever came or went: what stands there now is watched. Two folders that change places tell of both
            // that they came before they tell that they went.
            self.unwatch(queue, path);
            self.watch(queue, path);
        }
        true
    }

    /// The kernel has dropped a watch, with its folder.
    pub(super) fn gone(&mut self, watch: i32) {
        let Some(path) = self.paths.remove(&watch) else { return };
        if self.watches.get(&path) == Some(&watch) {
            self.watches.remove(&path);
        }
    }

    /// Watches `path` and what is wanted below it.
    fn watch(&mut self, queue: &OwnedFd, path: &str) {
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            let handle = match self.home.folder(&path) {
                Ok(handle) => handle,
                // Not made yet, gone already, or a link, which no scan enters either.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => {
                    self.unwatched = Some(format!("{} cannot be opened: {error}", self.home.join(&path).display()));
                    continue;
                }
            };
            if let Err(error) = self.set(queue, &path, &handle) {
                self.unwatched = Some(self.explained(&path, error));
                if error == Errno::NOSPC {
                    return; // each further one would say the same
                }
                continue;
            }
            if let Some(kind) = filesystem::remote(&handle) {
                let folder = self.home.join(&path);
                let text = format!("{} lies on {kind}, which does not tell what others change", folder.display());
                self.remote.get_or_insert(text);
            }
            self.steps(&path, &mut left);
            if self.enters(&path) {
                self.list(&path, &handle, &mut left);
            }
        }
    }

    fn set(&mut self, queue: &OwnedFd, path: &str, handle: &OwnedFd) -> rustix::io::Result<()> {
        let watch = add_watch(queue, format!("/proc/self/fd/{}", handle.as_raw_fd()), TOLD)?;
        let path: Arc<str> = path.into();
        if let Some(earlier) = self.paths.insert(watch, Arc::clone(&path)) {
            self.watches.remove(&earlier); // the same folder under the name that it had
        }
        self.watches.insert(path, watch);
        Ok(())
    }

    /// Ends the watches of `path` and of all below it.
    fn unwatch(&mut self, queue: &OwnedFd, path: &str) {
        // '0' is what follows the slash.
        let (from, to) = (format!("{path}/"), format!("{path}0"));
        let below = self.watches.range::<str, _>((Bound::Included(&*from), Bound::Excluded(&*to)));
        let mut gone: Vec<Arc<str>> = below.map(|(path, _)| Arc::clone(path)).collect();
        gone.push(path.into());
        for watch in gone.iter().filter_map(|path| self.watches.remove(path)).collect::<Vec<_>>() {
            self.paths.remove(&watch);
            let _ = remove_watch(queue, watch); // the kernel drops that of a folder that is gone
        }
    }

    /// The next folder on the way from `path` to each table folder below it.
    fn steps(&self, path: &str, into: &mut Vec<String>) {
        for rule in &self.table.rules {
            let inner = if path.is_empty() { Some(&*rule.folder) } else { below(&rule.folder, path) };
            let Some((step, _)) = inner.and_then(|inner| inner.split_once('/')) else { continue };
            let step = join(path, step);
            if self.wants(&step) && !into.contains(&step) {
                into.push(step);
            }
        }
    }

    /// Every folder in `path`.
    fn list(&self, path: &str, handle: &OwnedFd, into: &mut Vec<String>) {
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut entries = RawDir::new(handle, buffer.spare_capacity_mut());
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name();
            let folder = match entry.file_type() {
                FileType::Unknown => statat(handle, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
                kind => kind == FileType::Directory,
            };
            let Ok(name) = name.to_str() else { continue };
            if folder && !matches!(name, "." | ".." | OWN_FOLDER) {
                let path = join(path, name);
                if self.wants(&path) && RelPath::new(&path).is_ok() {
                    into.push(path);
                }
            }
        }
    }

    /// Whether the folder at `path` belongs to the table, or lies on the way to what does.
    fn wants(&self, path: &str) -> bool {
        path != CONTAINERS
            && self
                .table
                .rules
                .iter()
                .any(|rule| below(&rule.folder, path).is_some() || (rule.recursive && path.starts_with(&*rule.folder)))
    }

    /// Whether all folders below `path` take part.
    fn enters(&self, path: &str) -> bool {
        let path = format!("{path}/");
        self.table.rules.iter().any(|rule| rule.recursive && path.starts_with(&*rule.folder))
    }

    fn explained(&self, path: &str, error: Errno) -> String {
        match error {
            Errno::NOSPC => limit("fs.inotify.max_user_watches", "the folders of this tree"),
            error => format!("{} cannot be watched: {error}; is /proc mounted?", self.home.join(path).display()),
        }
    }
}

/// What of the table folder `folder` (with its slash) lies below `path`: empty if it is the same.
fn below<'a>(folder: &'a str, path: &str) -> Option<&'a str> {
    folder.strip_prefix(path)?.strip_prefix('/')
}

/// The path of `name` in `folder`; the home is the empty one.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn limit(key: &str, too_many: &str) -> String {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    let now = std::fs::read_to_string(path).map_or_else(|_| "too low".to_owned(), |text| text.trim().to_owned());
    format!("{too_many} need more than {key}, which is {now}; raise it, e.g. sysctl {key}=1048576")
}
