//! The stat cache on disk: what was hashed, and how its file looked then.
//!
//! `<home>/.outrider/index` lets an unchanged file cost one `stat`. It is only ever a hint: a
//! damaged, cut or foreign file counts as empty, and every file is read again. A `BLAKE2b` over the whole
//! stands at its end; it is replaced by rename and never synced, since its loss costs time alone.
//!
//! ```text
//! magic "OUTRIDX1", u32 number of folders; then for each folder, sorted by path:
//!   u16 length, path, u32 bytes of its entries; then for each entry, sorted by name:
//!     u8 length, name, u64 ino, u64 size, i64 mtime_ns, i64 ctime_ns, 64 bytes digest
//! 64 bytes BLAKE2b-512 of all before; all numbers little-endian
//! ```
//!
//! When stat and digest may be kept. The clock of a file system ticks: every 1 to 10 ms on those that
//! count nanoseconds, every second or two on others. A file that is changed again within the tick of
//! its last change, after we read it, looks the same as before. So a digest is only kept if the reading
//! began later than the file's ctime by more than a tick ([`Stat::settled`]); else the next scan reads
//! the file again. What an attacker or a jumping clock hides even so is found by a scan with `rehash`.

use std::collections::HashSet;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use crate::beneath::Home;
use crate::table::OWN_FOLDER;
use crate::{Digest, Error, Hasher, RelPath, Result};

const MAGIC: &[u8; 8] = b"OUTRIDX1";
const DIGEST: usize = 64;
const FIXED: usize = 32 + DIGEST;

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
        // A time without a fraction comes from a file system that counts whole seconds.
        let whole = self.ctime_ns % 1_000_000_000 == 0;
        let margin = if whole { SETTLE_WHOLE_SECONDS } else { SETTLE };
        let seen = seen.duration_since(UNIX_EPOCH).unwrap_or_default();
        seen.saturating_sub(margin).as_nanos() > u128::try_from(self.ctime_ns).unwrap_or(0)
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
pub struct Record {
    /// Path below the home.
    pub path: RelPath,
    /// How it looked.
    pub stat: Stat,
    /// What it held.
    pub digest: Digest,
}

/// Brings the index up to date after an apply, so that the next scan only stats.
///
/// `written` are the files as they stand now; each stat must be taken later than [`SETTLE`] after the
/// file's last rename, for the reason above, and be known to belong to the content of its digest
/// (same inode, size and mtime as the staged file that was verified). `removed` are forgotten.
///
/// # Errors
/// [`Error::Io`] if the index cannot be replaced; the old one then stands, and its entries for changed
/// files no longer match their stat, so it does no harm.
pub fn update(home: &Path, written: Vec<Record>, removed: &[RelPath]) -> Result<()> {
    let home = Home::open(home)?;
    let index = Index::load(&home);
    let told: HashSet<&RelPath> = written.iter().map(|record| &record.path).chain(removed).collect();
    let mut all: Vec<Record> = index.records().filter(|record| !told.contains(&record.path)).collect();
    drop(index);
    all.extend(written);
    save(&home, all.iter())
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

    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.folders.iter().flat_map(|folder| {
            self.folder(folder.path.as_str()).filter_map(|(name, stat, digest)| {
                let path = RelPath::new(&format!("{}/{}", folder.path, std::str::from_utf8(name).ok()?)).ok()?;
                Some(Record { path, stat, digest })
            })
        })
    }

    fn read(home: &Home) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        home.file(&RelPath::new(".outrider/index").ok()?, None).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<DIGEST>()?;
        if Digest::of(body).0 != *checksum {
            return None;
        }
        let end = body.len();
        bytes.truncate(end);
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let count = u32::from_le_bytes(take(&mut rest)?);
        let (mut folders, mut len) = (Vec::new(), 0);
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
            let path = RelPath::new(std::str::from_utf8(rest.split_off(..length)?).ok()?).ok()?;
            let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
            let start = end - rest.len();
            len += Known { bytes: rest.split_off(..length)? }.count();
            folders.push(Folder { path, entries: start..start + length });
        }
        Some(Self { bytes, folders, len })
    }
}

/// What is known of one folder: name, stat and digest of each file.
pub(crate) struct Known<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Known<'a> {
    type Item = (&'a [u8], Stat, Digest);

    fn next(&mut self) -> Option<Self::Item> {
        let [length] = take(&mut self.bytes)?;
        let name = self.bytes.split_off(..usize::from(length))?;
        let stat = Stat {
            ino: u64::from_le_bytes(take(&mut self.bytes)?),
            size: u64::from_le_bytes(take(&mut self.bytes)?),
            mtime_ns: i64::from_le_bytes(take(&mut self.bytes)?),
            ctime_ns: i64::from_le_bytes(take(&mut self.bytes)?),
        };
        Some((name, stat, Digest(take(&mut self.bytes)?)))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

/// A record with its path taken apart once, since sorting asks often.
struct Named<'a> {
    folder: &'a str,
    name: &'a str,
    record: &'a Record,
}

/// Replaces the index of this home by these records.
pub(crate) fn save<'a>(home: &Home, records: impl Iterator<Item = &'a Record>) -> Result<()> {
    let mut records: Vec<Named<'a>> =
        records.map(|record| Named { folder: record.path.folder(), name: record.path.name(), record }).collect();
    records.sort_by(|a, b| (a.folder, a.name).cmp(&(b.folder, b.name)));
    replace(home, &records).map_err(Error::io("write", home.join(".outrider/index")))
}

fn replace(home: &Home, records: &[Named<'_>]) -> io::Result<()> {
    match mkdirat(home, OWN_FOLDER, Mode::RWXU) {
        Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
        _ => {}
    }
    let own = home.folder(OWN_FOLDER)?;
    let _ = unlinkat(&own, "index.tmp", AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(&own, "index.tmp", flags, Mode::RUSR | Mode::WUSR)?);
    let written = write(Summed { out: BufWriter::with_capacity(256 * 1024, file), sum: Hasher::default() }, records)
        .and_then(|()| Ok(renameat(&own, "index.tmp", &own, "index")?));
    if written.is_err() {
        let _ = unlinkat(&own, "index.tmp", AtFlags::empty());
    }
    written
}

fn write(mut out: Summed<impl Write>, records: &[Named<'_>]) -> io::Result<()> {
    let too_long = |_| io::Error::other("a name is too long for the index");
    let folders = || records.chunk_by(|a, b| a.folder == b.folder);
    out.put(MAGIC)?;
    out.put(&u32::try_from(folders().count()).map_err(too_long)?.to_le_bytes())?;
    for folder in folders() {
        let path = folder.first().map_or("", |first| first.folder);
        out.put(&u16::try_from(path.len()).map_err(too_long)?.to_le_bytes())?;
        out.put(path.as_bytes())?;
        let length: usize = folder.iter().map(|file| 1 + file.name.len() + FIXED).sum();
        out.put(&u32::try_from(length).map_err(too_long)?.to_le_bytes())?;
        for Named { name, record: Record { stat, digest, .. }, .. } in folder {
            out.put(&[u8::try_from(name.len()).map_err(too_long)?])?;
            out.put(name.as_bytes())?;
            out.put(&stat.ino.to_le_bytes())?;
            out.put(&stat.size.to_le_bytes())?;
            out.put(&stat.mtime_ns.to_le_bytes())?;
            out.put(&stat.ctime_ns.to_le_bytes())?;
            out.put(&digest.0)?;
        }
    }
    let sum = out.sum.finish();
    out.out.write_all(&sum.0)?;
    out.out.flush()
}

/// A writer that remembers the digest of what went through.
struct Summed<W> {
    out: W,
    sum: Hasher,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}
