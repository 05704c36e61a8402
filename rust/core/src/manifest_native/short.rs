//! A manifest with a quarter of each digest: enough to say which file is the one that the other end has.
//!
//! 16 bytes tell two contents apart unless somebody built them to agree, which costs 2^64 digests; and what
//! is wrongly taken for equal is found by the whole digests and the root when the result is verified.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::{Input, MAGIC, SHORT, compressed, finish, head, read_paths, write_paths};
use crate::{Digest, Entry, Manifest, RelPath, Result};

const WIDTH: usize = SHORT as usize;

/// The first 16 bytes of a [`Digest`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortDigest(pub [u8; WIDTH]);

impl From<&Digest> for ShortDigest {
    fn from(digest: &Digest) -> Self {
        let mut short = [0; WIDTH];
        short.copy_from_slice(&digest.0[..WIDTH]);
        Self(short)
    }
}

impl fmt::Debug for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One file of a [`ShortManifest`].
#[derive(Clone, Debug, PartialEq)]
pub struct ShortEntry {
    /// Path below the home.
    pub path: RelPath,
    /// The beginning of the digest of its content.
    pub digest: ShortDigest,
    /// The folder key of its rule.
    pub rule: Arc<str>,
}

impl ShortEntry {
    /// Whether this is a file with the path and, as far as its digest tells, the content of `entry`.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        self.digest == ShortDigest::from(&entry.digest) && self.path == entry.path
    }
}

/// What a worker reports whose base the master does not know: sorted by path, each path once; no times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShortManifest {
    entries: Vec<ShortEntry>,
}

impl ShortManifest {
    /// The entries, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[ShortEntry] {
        &self.entries
    }

    /// The entry of this path, if the tree holds it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&ShortEntry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// Whether this is `manifest`, as far as short digests tell.
    #[must_use]
    pub fn matches(&self, manifest: &Manifest) -> bool {
        let entries = manifest.entries();
        self.entries.len() == entries.len() && self.entries.iter().zip(entries).all(|(ours, whole)| ours.matches(whole))
    }

    /// Reads the native form with short digests; see [`Manifest::read_native`].
    ///
    /// # Errors
    /// As [`Manifest::read_native`].
    pub fn read_native(input: impl Read, budget: u64) -> Result<Self> {
        let mut input = Input::new(input, budget)?;
        head(&mut input, SHORT)?;
        let mut entries = Vec::new();
        read_paths(&mut input, size_of::<ShortEntry>(), |path, rule| {
            entries.push(ShortEntry { path, digest: ShortDigest([0; WIDTH]), rule });
        })?;
        for entry in &mut entries {
            entry.digest = ShortDigest(input.array()?);
        }
        input.end()?;
        Ok(Self { entries })
    }
}

impl From<&Manifest> for ShortManifest {
    fn from(manifest: &Manifest) -> Self {
        let short = |Entry { path, digest, rule, .. }: &Entry| ShortEntry {
            path: path.clone(),
            digest: digest.into(),
            rule: Arc::clone(rule),
        };
        Self { entries: manifest.entries().iter().map(short).collect() }
    }
}

impl Manifest {
    /// Writes the native form with short digests and without times: what a worker reports of its tree.
    ///
    /// # Errors
    /// Only what `out` says.
    pub fn write_native_short(&self, out: impl Write) -> io::Result<()> {
        let mut out = compressed(out)?;
        out.write_all(MAGIC)?;
        out.write_all(&[SHORT])?;
        write_paths(self.entries().iter().map(|entry| (&entry.path, &entry.rule)), &mut out)?;
        self.entries().iter().try_for_each(|entry| out.write_all(&entry.digest.0[..WIDTH]))?;
        finish(out)
    }
}
