//! Folders to bursts of change: the thread that waits here sleeps until a file of the table was written, and is
//! woken once for everything that is written together.
//!
//! A burst tells that it is worth looking, and where; what has changed is the scan's to say. Reading and opening
//! files wakes nobody, and neither do names that never travel. The interval of scans stays the safety net: `lost`
//! and `reason` say when it is needed.

mod filesystem;
mod folders;
mod own;

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader};
use rustix::io::Errno;

use self::folders::{Folders, join};
use self::own::Own;
use crate::beneath::Home;
use crate::table::OWN_FOLDER;
use crate::{Error, FilesTable, Plan, RelPath, Result};

/// Events that are taken before the clock is looked at again: some 250.
const BUFFER: usize = 16 * 1024;
/// Buffers that [`Watcher::begin`] and [`Watcher::end`] take at most: the kernel's queue twice over. Who writes on and
/// on does not hold them.
const TAKEN: usize = 256;
/// A burst names no more folders than a person would read.
const NAMED: usize = 32;
/// How long a folder that could not be watched waits for the next try.
const RETRY: Duration = Duration::from_secs(60);

/// When a burst is over.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// It has been quiet for so long.
    pub settle: Duration,
    /// It began so long ago, quiet or not.
    pub longest: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { settle: Duration::from_millis(10), longest: Duration::from_millis(200) }
    }
}

/// Changes that came together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// Folders below the home in which something changed, for the log: sorted, at most 32.
    pub folders: Vec<String>,
    /// Whether there may be changes that nobody told: the queue was full, or a part of the tree is not watched.
    pub lost: bool,
}

/// The folders of a table beneath a home, watched.
pub struct Watcher {
    /// `None` if the system gives no queue; [`Watcher::reason`] then says why.
    queue: Option<OwnedFd>,
    /// Rung for whoever waits: there is something that no event of the queue tells.
    bell: OwnedFd,
    closed: AtomicBool,
    options: WatchOptions,
    state: Mutex<State>,
}

struct State {
    folders: Folders,
    pending: Option<Pending>,
    own: Own,
    walked: Instant,
}

struct Pending {
    first: Instant,
    last: Instant,
    folders: BTreeSet<String>,
    lost: bool,
}

impl Watcher {
    /// Watches from now on; what changes after this returns is told.
    ///
    /// # Errors
    /// [`Error::Io`] if the home cannot be opened. Whatever else stands in the way is [`Watcher::reason`].
    pub fn new(home: &Path, table: Arc<FilesTable>, options: WatchOptions) -> Result<Self> {
        let mut folders = Folders::new(Home::open(home)?, table);
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Error::io("watch", home)(error.into()))?;
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        match &queue {
            Ok(queue) => folders.watch_all(queue),
            Err(error) => folders.no_queue(*error),
        }
        let state = State { folders, pending: None, own: Own::default(), walked: Instant::now() };
        Ok(Self { queue: queue.ok(), bell, closed: AtomicBool::new(false), options, state: Mutex::new(state) })
    }

    /// Waits for the next burst to be over; `None` after `timeout`, or at once when the watcher is closed.
    pub fn wait(&self, timeout: Duration) -> Option<Burst> {
        let deadline = Instant::now() + timeout;
        loop {
            let until = {
                let mut state = self.state();
                if self.closed.load(Ordering::Acquire) {
                    return None;
                }
                if let Some(queue) = &self.queue {
                    state.try_again(queue);
                }
                let now = Instant::now();
                let due = state.pending.as_ref().map(|pending| pending.due(self.options));
                if due.is_some_and(|due| due <= now) {
                    return state.settled();
                }
                if deadline <= now {
                    return None;
                }
                due.map_or(deadline, |due| due.min(deadline))
            };
            self.sleep(until);
            if let Some(queue) = &self.queue {
                self.state().take(queue);
            }
        }
    }

    /// This node itself changes the tree from here on: what is seen until [`Watcher::end`] is told after it, if at all.
    pub fn begin(&self) {
        let mut state = self.state();
        self.take_all(&mut state);
        state.own.begin();
    }

    /// A change that began has done what `plan` says: of what was seen meanwhile, the rest was somebody else's.
    pub fn end(&self, plan: &Plan) {
        let mut state = self.state();
        self.take_all(&mut state);
        let (others, lost) = state.own.end(plan);
        for path in &others {
            state.stir(path.rsplit_once('/').map_or("", |(folder, _)| folder), false);
        }
        if lost {
            state.stir("", true);
        }
        self.ring();
    }

    /// Why a part of the tree, or all of it, is not watched, and what to do; `None` if all is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.state().folders.reason()
    }

    /// Ends a wait that is under way, and each later one.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        // The counter of an event only fails to grow when it is full, and then it is readable as well.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// What is known to the kernel until now.
    fn take_all(&self, state: &mut State) {
        if let Some(queue) = &self.queue {
            for _ in 0..TAKEN {
                if !state.take(queue) {
                    break;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until there are events, the bell rings, or it is `until`.
    fn sleep(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok(); // longer than the kernel can count: without an end
        let mut on = vec![PollFd::new(&self.bell, PollFlags::IN)];
        on.extend(self.queue.as_ref().map(|queue| PollFd::new(queue, PollFlags::IN)));
        // Interrupted, or no memory for a moment: the caller's loop looks at the clock and comes back.
        if poll(&mut on, left.as_ref()).is_ok() && !on[0].revents().is_empty() {
            let _ = rustix::io::read(&self.bell, &mut [0; 8]); // another thread may have heard it as well
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// Takes one buffer of events; whether there was any.
    fn take(&mut self, queue: &OwnedFd) -> bool {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(queue, &mut buffer);
        let mut any = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(CStr::to_bytes);
                    self.see(queue, event.wd(), event.events(), name);
                }
                Err(Errno::INTR) => continue,
                Err(_) => return any, // nothing is ready
            }
            any = true;
            if reader.is_buffer_empty() {
                return true;
            }
        }
    }

    fn see(&mut self, queue: &OwnedFd, watch: i32, what: ReadFlags, name: Option<&[u8]>) {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.walk(queue);
            return self.stir("", true);
        }
        let Some(folder) = self.folders.path(watch) else { return };
        if what.contains(ReadFlags::UNMOUNT) {
            return self.stir(&folder, true);
        }
        if what.contains(ReadFlags::IGNORED) {
            return self.folders.gone(watch);
        }
        // A name that is not UTF-8 never travels.
        let Some(Ok(name)) = name.map(str::from_utf8) else { return };
        let path = join(&folder, name);
        let is_folder = what.contains(ReadFlags::ISDIR);
        let concerns = if is_folder {
            name != OWN_FOLDER && self.folders.turned(queue, &path, what)
        } else {
            RelPath::new(&path).is_ok_and(|path| self.folders.admit(&path))
        };
        if concerns && !self.own.keep(&path, is_folder) {
            self.stir(&folder, false);
        }
    }

    /// Something has changed in `folder`.
    fn stir(&mut self, folder: &str, lost: bool) {
        let now = Instant::now();
        let fresh = || Pending { first: now, last: now, folders: BTreeSet::new(), lost: false };
        let pending = self.pending.get_or_insert_with(fresh);
        pending.last = now;
        pending.lost |= lost;
        if pending.folders.len() < NAMED && !pending.folders.contains(folder) {
            pending.folders.insert(folder.to_owned());
        }
    }

    /// Sets every watch anew; those that stand stay.
    fn walk(&mut self, queue: &OwnedFd) {
        self.folders.watch_all(queue);
        self.walked = Instant::now();
    }

    /// Tries what could not be watched, now and then: someone may have raised the limit.
    fn try_again(&mut self, queue: &OwnedFd) {
        if self.folders.may_improve() && self.walked.elapsed() >= RETRY {
            self.walk(queue);
            if !self.folders.may_improve() {
                self.stir("", true);
            }
        }
    }

    fn settled(&mut self) -> Option<Burst> {
        let Pending { folders, lost, .. } = self.pending.take()?;
        let lost = lost || self.folders.reason().is_some();
        Some(Burst { folders: folders.into_iter().collect(), lost })
    }
}

impl Pending {
    fn due(&self, options: WatchOptions) -> Instant {
        (self.last + options.settle).min(self.first + options.longest)
    }
}
