//! The stat cache on disk: what was hashed, and how its file looked then.
//!
//! `<home>/.outrider/index` lets an unchanged file cost one `stat`. It is only ever a hint: a
//! damaged, cut or foreign file counts as empty, and every file is read again. A checksum of the whole
//! stands at its end; it is replaced by rename and never synced, since its loss costs time alone.
//!
//! ```text
//! magic "OUTRIDX3"; then for each folder, sorted by path:
//!   u16 length, path; then for each entry, sorted by name:
//!     u8 length, name, u64 ino, u64 size, i64 mtime_ns, i64 ctime_ns, 64 bytes digest
//!   u8 0, behind the last entry
//! 64 bytes BLAKE2b-512 of the digests of all before in parts of 16 KiB; all numbers little-endian
//! ```
//!
//! When stat and digest may be kept. The clock of a file system ticks: every 1 to 10 ms on those that
//! count nanoseconds, every second or two on others. A file that is changed again within the tick of
//! its last change, after we read it, looks the same as before. So a digest is only kept if the reading
//! began later than the file's ctime by more than a tick ([`Stat::settled`]), or if the file system gives
//! every change a time of its own ([`crate::grain`]); else the next scan reads the file again. What an
//! attacker or a jumping clock hides even so is found by a scan with `rehash`.

use std::cmp::Ordering;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use crate::beneath::Home;
use crate::digest::{Parts, of_parts};
use crate::table::OWN_FOLDER;
use crate::{Digest, Entry, Error, FilesTable, Manifest, RelPath, Result};

const MAGIC: &[u8; 8] = b"OUTRIDX3";
const DIGEST: usize = 64;
/// Bytes of an entry behind its name.
const KEPT: usize = 4 * 8 + DIGEST;

/// How long after its last change a file must have been looked at for its digest to be kept.
pub const SETTLE: Duration = Duration::from_millis(20);
const SETTLE_WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// What tells, without reading it, that a file is the one that was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Time of the last change of content, name or owner; no program can set it.
    pub ctime_ns: i64,
}

impl Stat {
    /// Whether a look that began at `seen` is late enough to notice each later change.
    #[must_use]
    pub fn settled(&self, seen: SystemTime) -> bool {
        self.unsettled(seen).is_zero()
    }

    /// How much later than `seen` a look would be late enough.
    #[must_use]
    pub fn unsettled(&self, seen: SystemTime) -> Duration {
        // A time without a fraction comes from a file system that counts whole seconds.
        let whole = self.ctime_ns % 1_000_000_000 == 0;
        let margin = if whole { SETTLE_WHOLE_SECONDS } else { SETTLE };
        let changed = Duration::from_nanos(u64::try_from(self.ctime_ns).unwrap_or(0));
        let seen = seen.duration_since(UNIX_EPOCH).unwrap_or_default();
        (changed + margin + Duration::from_nanos(1)).saturating_sub(seen)
    }

    /// The modification time as the wire and Python count it.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the wire's times are floats")]
    pub fn mod_time(&self) -> f64 {
        self.mtime_ns.div_euclid(1_000_000_000) as f64 + 1e-9 * self.mtime_ns.rem_euclid(1_000_000_000) as f64
    }
}

impl From<&rustix::fs::Stat> for Stat {
    #[allow(
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        clippy::unnecessary_cast,
        reason = "the types differ by machine"
    )]
    fn from(stat: &rustix::fs::Stat) -> Self {
        let nanoseconds = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// One file that was hashed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// Path below the home.
    pub path: RelPath,
    /// How it looked.
    pub stat: Stat,
    /// What it held.
    pub digest: Digest,
}

/// What an apply did to one file.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Path below the home.
    pub path: &'a RelPath,
    /// How the file looks now and what it holds; `None` to forget it.
    pub now: Option<(Stat, Digest)>,
}

/// Brings the index up to date after an apply, so that the next scan only stats.
///
/// `changes` come in the [`order`] of the index: it is written while they are made. Each stat must be
/// taken later than [`SETTLE`] after the file's last rename, for the reason above, and be known to
/// belong to the content of its digest (same inode, size and mtime as the staged file that was verified).
///
/// # Errors
/// [`Error::Io`] if the index cannot be replaced; the old one then stands, and its entries for changed
/// files no longer match their stat, so it does no harm.
pub fn update<'a>(home: &Path, changes: impl Iterator<Item = Change<'a>>) -> Result<()> {
    let home = Home::open(home)?;
    let index = Index::load(&home);
    replace(&home, merge(index.rows(), changes))
}

/// What the index says that the tree holds, as its last look or apply left it: nothing is looked at.
///
/// # Errors
/// [`Error::Io`] if the home cannot be opened.
pub fn remembered(home: &Path, table: &FilesTable) -> Result<Manifest> {
    let index = Index::load(&Home::open(home)?);
    let entry = |row: Row<'_>| {
        let path = match row.folder {
            "" => RelPath::new(row.name),
            folder => RelPath::new(&format!("{folder}/{}", row.name)),
        }
        .ok()?;
        let rule = Arc::clone(&table.rule_for(&path)?.folder);
        Some(Entry { digest: row.digest, mod_time: row.stat.mod_time(), path, rule })
    };
    Ok(index.rows().filter_map(entry).collect::<Vec<_>>().into())
}

/// How the index is sorted: by folder, then by name.
#[must_use]
pub fn order(a: &RelPath, b: &RelPath) -> Ordering {
    (a.folder(), a.name()).cmp(&(b.folder(), b.name()))
}

/// One file in the index.
struct Row<'a> {
    folder: &'a str,
    name: &'a str,
    stat: Stat,
    digest: Digest,
}

/// The old rows with the changes worked in; all in order.
fn merge<'r, 'c: 'r>(
    old: impl Iterator<Item = Row<'r>>,
    changes: impl Iterator<Item = Change<'c>>,
) -> impl Iterator<Item = Row<'r>> {
    let (mut old, mut changes) = (old.peekable(), changes.peekable());
    std::iter::from_fn(move || {
        loop {
            let Some(Change { path, .. }) = changes.peek() else { return old.next() };
            let (folder, name) = (path.folder(), path.name());
            if let Some(before) = old.next_if(|row| (row.folder, row.name) < (folder, name)) {
                return Some(before);
            }
            old.next_if(|row| (row.folder, row.name) == (folder, name));
            if let Some((stat, digest)) = changes.next()?.now {
                return Some(Row { folder, name, stat, digest });
            }
        }
    })
}

/// The index in memory: the file's bytes, and where each folder begins.
#[derive(Default)]
pub(crate) struct Index {
    bytes: Vec<u8>,
    folders: Vec<Folder>,
    len: usize,
}

struct Folder {
    path: RelPath,
    entries: std::ops::Range<usize>,
}

impl Index {
    /// Reads the index of this home; whatever is wrong with it, the answer is an empty one.
    pub(crate) fn load(home: &Home) -> Self {
        Self::read(home).and_then(Self::parse).unwrap_or_default()
    }

    /// How many files it knows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entries of one folder, in the order of their names.
    pub(crate) fn folder(&self, path: &str) -> Known<'_> {
        let at = self.folders.binary_search_by(|folder| folder.path.as_str().cmp(path)).ok();
        Known { bytes: at.and_then(|at| self.bytes.get(self.folders[at].entries.clone())).unwrap_or_default() }
    }

    /// As it stands on disk.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(Parts::new(&mut out), self.rows()).map(|()| out).unwrap_or_default()
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.folders.iter().flat_map(|Folder { path, entries }| {
            let known = Known { bytes: self.bytes.get(entries.clone()).unwrap_or_default() };
            known.filter_map(|(name, kept)| {
                let name = std::str::from_utf8(name).ok()?;
                Some(Row { folder: path.as_str(), name, stat: kept.stat(), digest: kept.digest() })
            })
        })
    }

    fn read(home: &Home) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        home.file(&RelPath::new(".outrider/index").ok()?, None).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    pub(crate) fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<DIGEST>()?;
        if of_parts(body).0 != *checksum {
            return None;
        }
        let end = body.len();
        bytes.truncate(end);
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let (mut folders, mut len) = (Vec::new(), 0);
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes(*take(&mut rest)?));
            let path = RelPath::new(std::str::from_utf8(rest.split_off(..length)?).ok()?).ok()?;
            let start = end - rest.len();
            let mut known = Known { bytes: rest };
            len += known.by_ref().count();
            rest = known.bytes;
            folders.push(Folder { path, entries: start..end - rest.len() });
        }
        Some(Self { bytes, folders, len })
    }
}

/// What is known of one folder: the name of each file, and what is kept of it.
pub(crate) struct Known<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Known<'a> {
    type Item = (&'a [u8], Kept<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let [length] = take(&mut self.bytes).filter(|[length]| *length > 0)?;
        let name = self.bytes.split_off(..usize::from(*length))?;
        Some((name, Kept(take(&mut self.bytes)?)))
    }
}

/// Stat and digest of one file, read where they stand.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a>(&'a [u8; KEPT]);

impl Kept<'_> {
    pub(crate) fn stat(self) -> Stat {
        let (words, _) = self.0.as_chunks();
        Stat {
            ino: u64::from_le_bytes(words[0]),
            size: u64::from_le_bytes(words[1]),
            mtime_ns: i64::from_le_bytes(words[2]),
            ctime_ns: i64::from_le_bytes(words[3]),
        }
    }

    pub(crate) fn digest(self) -> Digest {
        self.0.last_chunk().map_or(Digest([0; DIGEST]), |digest| Digest(*digest))
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

/// Replaces the index of this home by these records, which come in its [`order`].
pub(crate) fn save<'a>(home: &Home, records: impl Iterator<Item = &'a Record>) -> Result<()> {
    let row = |record: &'a Record| {
        let (folder, name) = (record.path.folder(), record.path.name());
        Row { folder, name, stat: record.stat, digest: record.digest }
    };
    replace(home, records.map(row))
}

fn replace<'a>(home: &Home, rows: impl Iterator<Item = Row<'a>>) -> Result<()> {
    try_replace(home, rows).map_err(Error::io("write", home.join(".outrider/index")))
}

fn try_replace<'a>(home: &Home, rows: impl Iterator<Item = Row<'a>>) -> io::Result<()> {
    match mkdirat(home, OWN_FOLDER, Mode::RWXU) {
        Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
        _ => {}
    }
    let own = home.folder(OWN_FOLDER)?;
    let _ = unlinkat(&own, "index.tmp", AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(&own, "index.tmp", flags, Mode::RUSR | Mode::WUSR)?);
    let written = write(Parts::new(file), rows).and_then(|()| Ok(renameat(&own, "index.tmp", &own, "index")?));
    if written.is_err() {
        let _ = unlinkat(&own, "index.tmp", AtFlags::empty());
    }
    written
}

fn write<'a>(mut out: Parts<impl Write>, rows: impl Iterator<Item = Row<'a>>) -> io::Result<()> {
    let too_long = |_| io::Error::other("a name is too long for the index");
    let mut open = None;
    out.write_all(MAGIC)?;
    for Row { folder, name, stat, digest } in rows {
        if open != Some(folder) {
            if open.replace(folder).is_some() {
                out.write_all(&[0])?;
            }
            out.write_all(&u16::try_from(folder.len()).map_err(too_long)?.to_le_bytes())?;
            out.write_all(folder.as_bytes())?;
        }
        out.write_all(&[u8::try_from(name.len()).map_err(too_long)?])?;
        out.write_all(name.as_bytes())?;
        out.write_all(&stat.ino.to_le_bytes())?;
        out.write_all(&stat.size.to_le_bytes())?;
        out.write_all(&stat.mtime_ns.to_le_bytes())?;
        out.write_all(&stat.ctime_ns.to_le_bytes())?;
        out.write_all(&digest.0)?;
    }
    if open.is_some() {
        out.write_all(&[0])?;
    }
    out.finish()
}
