//! The latest generation, read beside the node that has the store open, or without one.

use std::path::Path;
use std::sync::Arc;

use super::folder::{Folder, Kind, refused};
use super::pack::Pack;
use super::state::manifest_of;
use super::{Generation, listed};
use crate::{Manifest, Result};

/// The store may be changed between two steps of ours: so often they are begun again.
const TRIES: usize = 5;

/// The latest generation of this home and its manifest; `None` if there is none. Nothing is changed.
///
/// # Errors
/// [`crate::Error::Conflict`] if it is damaged, [`crate::Error::Io`] for the disk.
pub fn peek(home: &Path) -> Result<Option<(Generation, Manifest)>> {
    let Some(folder) = Folder::look(home)? else { return Ok(None) };
    for _ in 0..TRIES {
        let files = folder.listed()?;
        let Some((number, _)) = files.iter().rev().find(|(_, kind)| *kind == Kind::Generation) else { return Ok(None) };
        if let Some(found) = read(&folder, *number) {
            return Ok(Some(found));
        }
    }
    Err(refused("the latest generation is damaged; start the master: it makes a new one of what its tree holds"))
}

fn read(folder: &Folder, number: u64) -> Option<(Generation, Manifest)> {
    let (mut chain, mut next) = (Vec::new(), number);
    while next != 0 {
        let file = folder.read(next, Kind::Generation).or_else(|_| folder.read(next, Kind::Pack)).ok()?;
        let pack = Pack::open(file).filter(|pack| pack.trailer.number == next && pack.trailer.base < next)?;
        next = pack.trailer.base;
        chain.push(Arc::new(pack));
    }
    Some((listed(chain.first()?), manifest_of(&chain)?))
}
