//! What the disk gives back. Checksums are made right here, so that what lies behind them is reached.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use crate::Digest;
use crate::apply::journal::Journal;
use crate::digest::of_parts;
use crate::generations::pack::{Found, Pack};
use crate::generations::record::Changes;
use crate::index::Index;
use crate::manifest_native::{compressed, finish};

use super::choice;

/// What was read is written and read as the same.
pub(super) fn index(bytes: &[u8]) {
    let (signed, body) = choice(bytes);
    let mut bytes = body.to_vec();
    if signed & 1 == 1 {
        bytes.extend(of_parts(body).0);
    }
    let Some(index) = Index::parse(bytes) else { return };
    let rows = index.written();
    // Folders out of order are found by no search, but that is all.
    let Some(again) = Index::parse(rows.clone()) else { panic!("what was read cannot be written") };
    assert_eq!(again.written(), rows);
}

/// What was read is written and read as the same.
pub(super) fn journal(bytes: &[u8]) {
    let (signed, json) = choice(bytes);
    let text =
        if signed & 1 == 1 { [format!("{}\n", Digest::of(json)).as_bytes(), json].concat() } else { json.to_vec() };
    let Ok(journal) = Journal::parse(&text) else { return };
    let mut again = Vec::new();
    journal.write_to(&mut again).unwrap();
    assert_eq!(Journal::parse(&again).unwrap(), journal);
}

/// A file in memory that holds these bytes.
fn file(bytes: &[u8]) -> File {
    let made = rustix::fs::memfd_create("pack", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(made);
    file.write_all(bytes).unwrap();
    file
}

/// Whatever is asked of it, what is handed out is what was asked for.
pub(super) fn pack(bytes: &[u8]) {
    let (signed, body) = choice(bytes);
    let mut bytes = body.to_vec();
    if signed & 1 == 1 {
        let trailer = body.len().saturating_sub(160);
        bytes.extend(Digest::of(&body[trailer..]).0);
    }
    let Some(pack) = Pack::open(file(&bytes)).map(Arc::new) else { return };
    let _ = pack.record().map(|record| Changes::read(&record).is_ok());
    for (place, row) in pack.rows() {
        assert!(place < pack.count());
        assert_eq!(pack.size(&row.digest).is_some(), pack.holds(&row.digest));
        if let Found::Content(content) = pack.content(&row.digest) {
            let mut made = Vec::new();
            // Of a large one the end says whether it was right.
            if content.take(1 << 20).read_to_end(&mut made).is_ok() && row.size <= 1 << 20 {
                assert_eq!((Digest::of(&made), made.len() as u64), (row.digest, row.size));
            }
        }
    }
}

/// What was read is written and read as the same; with an odd first byte what follows is packed here.
pub(super) fn record(bytes: &[u8]) {
    let (packed, bytes) = choice(bytes);
    let mut record = bytes.to_vec();
    if packed & 1 == 1 {
        record.clear();
        let mut out = compressed(&mut record).unwrap();
        out.write_all(bytes).unwrap();
        finish(out).unwrap();
    }
    let Ok(changes) = Changes::read(&record) else { return };
    let mut again = Vec::new();
    changes.write(&mut again).unwrap();
    let again = Changes::read(&again).unwrap();
    assert_eq!((&again.gone, again.count()), (&changes.gone, changes.count()));
}
