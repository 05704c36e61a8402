//! The index as an apply uses it: what it was told, the next scan believes; no more than that.

use std::fs;
use std::path::Path;

use outrider_core::index::{Change, SETTLE, Stat, order, remembered, update};
use outrider_core::{Digest, FileRule, FilesTable, RelPath, Scan, ScanOptions, scan};
use tempfile::TempDir;

fn table() -> FilesTable {
    let rule = FileRule {
        folder: "a/".into(),
        names: None,
        recursive: true,
        permissions: 0o660,
        remove_subdirs_if_empty: false,
        extra_valid: false,
    };
    FilesTable { rules: vec![rule], ..FilesTable::default() }
}

fn look(home: &Path) -> Scan {
    scan(home, &table(), ScanOptions::default()).unwrap()
}

/// Tells the index of written and removed files.
fn apply(home: &Path, written: &[&str], removed: &[&str]) -> outrider_core::Result<()> {
    let look = |path: &RelPath| {
        let at = home.join(path.as_str());
        let stat = Stat::from(&rustix::fs::stat(&at).unwrap());
        (stat, Digest::of(&fs::read(at).unwrap()))
    };
    let mut paths: Vec<RelPath> = written.iter().chain(removed).map(|path| RelPath::new(path).unwrap()).collect();
    paths.sort_by(order);
    let now = |path: &RelPath| written.contains(&path.as_str()).then(|| look(path));
    update(home, paths.iter().map(|path| Change { path, now: now(path) }))
}

fn tree(files: &[&str]) -> TempDir {
    let home = TempDir::new().unwrap();
    for path in files {
        fs::create_dir_all(home.path().join(path).parent().unwrap()).unwrap();
        fs::write(home.path().join(path), path).unwrap();
    }
    home
}

#[test]
fn after_an_update_the_next_scan_only_stats() {
    let home = tree(&["a/old", "a/b/old", "a/gone"]);
    look(home.path());
    for path in ["a/old", "a/b/new"] {
        fs::write(home.path().join(path), "applied").unwrap();
    }
    fs::remove_file(home.path().join("a/gone")).unwrap();
    std::thread::sleep(SETTLE);
    apply(home.path(), &["a/old", "a/b/new"], &["a/gone"]).unwrap();
    let index = fs::read(home.path().join(".outrider/index")).unwrap();
    let scan = look(home.path());
    assert_eq!(scan.hashed, 0);
    assert_eq!(scan.manifest.get("a/b/new").unwrap().digest, Digest::of(b"applied"));
    assert_eq!(scan.manifest.entries().len(), 3);
    assert_eq!(fs::read(home.path().join(".outrider/index")).unwrap(), index, "there was nothing to add or forget");
}

#[test]
fn an_update_makes_the_first_index_of_a_home() {
    let home = tree(&["a/x"]);
    std::thread::sleep(SETTLE);
    apply(home.path(), &["a/x"], &[]).unwrap();
    assert_eq!(look(home.path()).hashed, 0);
}

#[test]
fn a_record_that_no_longer_fits_its_file_is_not_believed() {
    let home = tree(&["a/x"]);
    apply(home.path(), &["a/x"], &[]).unwrap();
    fs::write(home.path().join("a/x"), "other").unwrap();
    let scan = look(home.path());
    assert_eq!((scan.hashed, scan.manifest.get("a/x").unwrap().digest), (1, Digest::of(b"other")));
}

#[test]
fn threat_35_a_change_that_no_stat_shows_is_found_by_a_rehash() {
    let home = tree(&["a/x"]);
    look(home.path());
    // As after a clock that jumped back: the changed file has the very stat that the index has of the one before.
    fs::write(home.path().join("a/x"), "b/y").unwrap();
    std::thread::sleep(SETTLE);
    let path = RelPath::new("a/x").unwrap();
    let stat = Stat::from(&rustix::fs::stat(home.path().join("a/x")).unwrap());
    update(home.path(), [Change { path: &path, now: Some((stat, Digest::of(b"a/x"))) }].into_iter()).unwrap();
    let digest = |scan: Scan| scan.manifest.get("a/x").unwrap().digest;
    assert_eq!(digest(look(home.path())), Digest::of(b"a/x"));
    let everything = ScanOptions { rehash: true, ..ScanOptions::default() };
    assert_eq!(digest(scan(home.path(), &table(), everything).unwrap()), Digest::of(b"b/y"));
    assert_eq!(digest(look(home.path())), Digest::of(b"b/y"), "and the index knows it from now on");
}

#[test]
fn threat_25_the_index_is_not_written_through_a_link() {
    let home = tree(&["a/x", "elsewhere/x"]);
    std::os::unix::fs::symlink("elsewhere", home.path().join(".outrider")).unwrap();
    assert!(apply(home.path(), &[], &[]).is_err());
    let scan = look(home.path());
    assert_eq!(scan.manifest.entries().len(), 1);
    assert_eq!(scan.problems[0].path, ".outrider/index");
    assert_eq!(fs::read_dir(home.path().join("elsewhere")).unwrap().count(), 1);
}

#[test]
fn a_look_is_late_enough_a_tick_after_the_last_change() {
    let stat = |ctime_ns| Stat { ino: 1, size: 1, mtime_ns: 0, ctime_ns };
    let at = |ns: i64| std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns.unsigned_abs());
    let change = 1_700_000_000_123_456_789;
    assert!(!stat(change).settled(at(change)));
    assert!(stat(change).settled(at(change + 25_000_000)));
    let whole = 1_700_000_000_000_000_000;
    assert!(!stat(whole).settled(at(whole + 1_500_000_000)), "a file system that counts seconds ticks slowly");
    assert!(stat(whole).settled(at(whole + 2_500_000_000)));
}

#[test]
fn what_the_last_look_saw_is_remembered_whatever_the_tree_holds_now() {
    let home = tree(&["a/kept", "a/b/changed", "a/gone"]);
    assert!(remembered(home.path(), &table()).unwrap().entries().is_empty());
    std::thread::sleep(SETTLE);
    let before = look(home.path()).manifest;
    fs::write(home.path().join("a/b/changed"), "now").unwrap();
    fs::remove_file(home.path().join("a/gone")).unwrap();
    let index = fs::read(home.path().join(".outrider/index")).unwrap();
    let options = ScanOptions { rehash: true, look_only: true, ..ScanOptions::default() };
    let now = scan(home.path(), &table(), options).unwrap();
    assert_eq!((now.hashed, fs::read(home.path().join(".outrider/index")).unwrap()), (2, index));
    assert_eq!(remembered(home.path(), &table()).unwrap(), before);
}
