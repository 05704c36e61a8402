//! What a container held, by path: a sorted list, which for 100,000 files is half of what a map takes.

use super::stage::Staged;
use crate::{Error, RelPath, Result};

/// The staged files, each with the path that it is for.
pub(super) struct StagedFiles(Vec<(RelPath, Staged)>);

impl StagedFiles {
    /// Sorts them; two files for one path are refused.
    pub(super) fn new(mut files: Vec<(RelPath, Staged)>) -> Result<Self> {
        files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        match files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            None => Ok(Self(files)),
            Some(pair) => Err(Error::BadPath { path: pair[0].0.to_string(), why: "the container holds it twice" }),
        }
    }

    pub(super) fn get(&self, path: &RelPath) -> Option<&Staged> {
        let at = self.0.binary_search_by(|(other, _)| other.cmp(path)).ok()?;
        self.0.get(at).map(|(_, staged)| staged)
    }

    /// Keeps the files of these paths, which are sorted; gives back the others.
    pub(super) fn keep(&mut self, listed: &[&RelPath]) -> Vec<Staged> {
        let mut others = Vec::new();
        self.0.retain(|(path, staged)| {
            let kept = listed.binary_search(&path).is_ok();
            if !kept {
                others.push(*staged);
            }
            kept
        });
        others
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, staged)| staged.stat.size).sum()
    }
}
