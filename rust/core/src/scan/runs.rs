//! What the threads found, as sorted runs: put one behind another, they need no sort of every file.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::index::{self, Record};
use crate::{Entry, FilesTable, RelPath};

/// Files of one folder and one row of the table, sorted by path, each once.
pub(super) struct Run {
    pub rule: usize,
    pub files: Vec<Found>,
}

/// A file with its digest.
pub(super) struct Found {
    pub record: Record,
    /// Whether stat and digest may be kept (see [`index`]).
    pub settled: bool,
}

/// What the index may keep, in its order.
pub(super) fn settled(runs: &mut [Run]) -> Vec<&Record> {
    let in_line = line_up(runs, index::order);
    let found = runs.iter().flat_map(|run| &run.files);
    let mut records: Vec<&Record> = found.filter(|found| found.settled).map(|found| &found.record).collect();
    if !in_line {
        records.sort_by(|a, b| index::order(&a.path, &b.path));
    }
    records
}

/// The entries of the manifest, sorted by path, each once.
pub(super) fn entries(mut runs: Vec<Run>, table: &FilesTable) -> Vec<Entry> {
    let in_line = line_up(&mut runs, RelPath::cmp);
    let mut entries = Vec::with_capacity(runs.iter().map(|run| run.files.len()).sum());
    for Run { rule, files } in runs {
        entries.extend(files.into_iter().map(|Found { record, .. }| Entry {
            mod_time: record.stat.mod_time(),
            path: record.path,
            digest: record.digest,
            rule: Arc::clone(&table.rules[rule].folder),
        }));
    }
    if !in_line {
        // Folders between the files of others: a few sorted stretches, which the stable sort is made for.
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
    }
    entries
}

/// Sorts the runs by their first files; whether each then ends before the next begins.
fn line_up(runs: &mut [Run], order: impl Fn(&RelPath, &RelPath) -> Ordering) -> bool {
    let order = |a: Option<&Found>, b: Option<&Found>| match (a, b) {
        (Some(a), Some(b)) => order(&a.record.path, &b.record.path),
        _ => a.is_some().cmp(&b.is_some()),
    };
    runs.sort_unstable_by(|a, b| order(a.files.first(), b.files.first()));
    runs.is_sorted_by(|a, b| order(a.files.last(), b.files.first()).is_lt())
}
