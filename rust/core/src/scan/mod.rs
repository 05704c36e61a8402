//! A tree becomes a manifest: listed, stated and hashed by several threads.
//!
//! Every folder is opened beneath the home without passing a link (threats 25); files are opened
//! from their folder's handle and never through a link, unless the table says so. What does not belong in a manifest
//! (links, devices, hard links, names that could not travel, what cannot be read) is left out and
//! reported, and never ends a scan (threats 26).
//!
//! A file with several hard links is left out too: it may be somebody's secret that was linked into
//! the tree, and looks no different. Tables that follow links (profile `wazuh-4.9`) take it as it is.

mod list;
mod look;
mod progress;
mod queue;
mod runs;
mod twins;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;

use crate::beneath::Home;
use crate::grain::Grain;
use crate::index::{self, Index};
use crate::{FilesTable, Manifest, RelPath, Result};
use look::{Looked, Looker};
pub use progress::ScanProgress;
use queue::{Folder, Job, Queue};
use runs::Run;

/// A scan that read one of so many files, and so many bytes, at most, leaves the index of many files as it is.
const ONE_OF: usize = 64;
const LITTLE: u64 = 4 << 20;
const MANY: usize = 16 * ONE_OF;

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions<'a> {
    /// Threads; 0 for one on each core.
    pub threads: usize,
    /// Read every file, whatever the index says.
    pub rehash: bool,
    /// Leave the index as it is.
    pub look_only: bool,
    /// Where somebody watches how far it has come, and may end it.
    pub progress: Option<&'a ScanProgress>,
}

/// The outcome of one look at a tree.
#[derive(Debug, Default)]
pub struct Scan {
    /// What it holds.
    pub manifest: Manifest,
    /// What was left out, sorted by path.
    pub problems: Vec<Problem>,
    /// Files that were read; the others came from the index.
    pub hashed: usize,
    /// Bytes that were read.
    pub bytes_hashed: u64,
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Its path below the home; what is not UTF-8 in it is replaced.
    pub path: String,
    /// Why, and where it helps, what to do.
    pub why: String,
}

impl Problem {
    fn new(path: &str, why: String) -> Self {
        Self { path: path.to_owned(), why }
    }
}

/// What all threads of a scan see.
struct Shared<'i> {
    home: &'i Home,
    table: &'i FilesTable,
    index: &'i Index,
    rehash: bool,
    progress: &'i ScanProgress,
    queue: Queue<'i>,
    /// Known from the first file on that has just changed.
    grain: OnceLock<Grain>,
    /// Set if some folder holds names that fold to the same.
    twins: AtomicBool,
}

impl Shared<'_> {
    fn grain(&self) -> Grain {
        *self.grain.get_or_init(|| Grain::of(self.home))
    }

    /// Why this is not a file that travels; `None` if it is one.
    fn why_not(&self, stat: &rustix::fs::Stat) -> Option<String> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_nlink > 1 && !self.table.follow_links => {
                Some(format!("it has {} hard links; a copy in its place would travel", stat.st_nlink))
            }
            FileType::RegularFile => None,
            other => Some(not_regular(other)),
        }
    }
}

fn not_regular(kind: FileType) -> String {
    let kind = match kind {
        FileType::Symlink => return "it is a link; links are not followed".to_owned(),
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "of an unknown kind",
    };
    format!("it is {kind}; only regular files travel")
}

/// Looks at every file that the table names below `home`, and brings the index up to date unless it is to be left alone.
///
/// # Errors
/// [`crate::Error::Io`] if the home cannot be opened; everything below it is only reported. [`crate::Error::Stopped`]
/// if whoever watches has ended it; the index is then as it was.
pub fn scan(home: &Path, table: &FilesTable, options: ScanOptions<'_>) -> Result<Scan> {
    let home = Home::open(home)?;
    let index = if options.rehash { Index::default() } else { Index::load(&home) };
    let folder = |(rule, row): (usize, &crate::FileRule)| {
        RelPath::new(row.folder.trim_end_matches('/')).map(|path| Folder { path, rule })
    };
    let folders = table.rules.iter().enumerate().map(folder).collect::<Result<_>>()?;
    let queue = Queue::new(folders);
    let unwatched = ScanProgress::default();
    let progress = options.progress.unwrap_or(&unwatched);
    if !options.rehash {
        progress.expect(index.len() as u64);
    }
    let (rehash, twins) = (options.rehash, AtomicBool::new(false));
    let shared = Shared { home: &home, table, index: &index, rehash, progress, queue, grain: OnceLock::new(), twins };
    let mut outcome = Scan::default();
    let looked = run(&shared, options.threads);
    progress.check()?;
    let twins = shared.twins.load(Ordering::Relaxed);
    // All of it was copied where it still holds; the memory is better spent on what was found.
    let known = index.len();
    drop(index);
    let mut runs = outcome.join(looked);
    if !options.look_only {
        keep(&home, known, &mut runs, &mut outcome);
    }
    let mut entries = runs::entries(runs, table);
    if twins {
        twins::drop_twins(&mut entries, &mut outcome.problems);
    }
    outcome.problems.sort_unstable();
    outcome.manifest = Manifest::of_sorted(entries);
    Ok(outcome)
}

fn run(shared: &Shared<'_>, threads: usize) -> Vec<Looked> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| work(shared))).collect();
        let mut done = vec![work(shared)];
        for other in others {
            match other.join() {
                Ok(looked) => done.push(looked),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

fn work(shared: &Shared<'_>) -> Looked {
    let mut looker = Looker::new(shared);
    while let Some((job, _running)) = shared.queue.take() {
        if shared.progress.is_stopped() {
            continue; // what is left is only taken from the queue, so that no thread waits for it
        }
        let piece = match job {
            Job::Folder(folder) => list::list(shared, &folder, &mut looker.looked.problems),
            Job::Piece(piece) => Some(piece),
        };
        if let Some(piece) = piece {
            looker.look(piece);
        }
    }
    looker.finish()
}

impl Scan {
    /// Adds what the threads saw; returns what they found.
    fn join(&mut self, looked: Vec<Looked>) -> Vec<Run> {
        let mut runs = Vec::new();
        for looked in looked {
            self.hashed += looked.hashed;
            self.bytes_hashed += looked.bytes_hashed;
            self.problems.extend(looked.problems);
            runs.extend(looked.runs);
        }
        runs.retain(|run| !run.files.is_empty());
        runs
    }
}

/// Replaces the index if this scan knows more. Without one the next scan only takes longer.
fn keep(home: &Home, known: usize, runs: &mut [Run], outcome: &mut Scan) {
    let found = runs.iter().map(|run| run.files.len()).sum::<usize>();
    // If nothing was read, everything came from the index, and may stay there.
    if outcome.hashed == 0 && found == known {
        return;
    }
    // To read these again at the next look takes less than to write what is known of all others now.
    let few = known / ONE_OF;
    let little = outcome.hashed <= few && outcome.bytes_hashed <= LITTLE && found.abs_diff(known) <= few;
    if little && known > MANY {
        return;
    }
    if let Err(error) = index::save(home, runs::settled(runs).into_iter()) {
        outcome.problems.push(Problem::new(".outrider/index", format!("{error}; each scan will read every file")));
    }
}
