//! Going back: after an apply and a rollback the tree is what it was, bit by bit.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrider_core::{Applier, Budget, Error, FileRule, FilesTable, Packer, Packing, ScanOptions, diff, scan};
use proptest::prelude::*;

type Tree = BTreeMap<String, Vec<u8>>;

fn table() -> FilesTable {
    let rule = FileRule {
        folder: "etc/".into(),
        names: None,
        recursive: true,
        permissions: 0o640,
        remove_subdirs_if_empty: true,
        extra_valid: false,
    };
    FilesTable { rules: vec![rule], ..FilesTable::default() }
}

fn write(root: &Path, files: &Tree) {
    for (path, content) in files {
        let path = root.join("etc").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn read(root: &Path) -> Tree {
    let (mut found, mut open) = (Tree::new(), vec![PathBuf::new()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join("etc").join(&folder)).into_iter().flatten() {
            let path = folder.join(entry.unwrap().file_name());
            let full = root.join("etc").join(&path);
            if full.is_dir() {
                open.push(path);
            } else {
                found.insert(path.to_str().unwrap().to_owned(), fs::read(full).unwrap());
            }
        }
    }
    found
}

/// Two homes, and an applier that brings the second to what the first is.
struct Pair {
    source: tempfile::TempDir,
    target: tempfile::TempDir,
    applier: Applier,
}

impl Pair {
    fn new(source_files: &Tree, target_files: &Tree) -> Self {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, files) in [(&source, source_files), (&target, target_files)] {
            fs::create_dir(folder.path().join("etc")).unwrap();
            write(folder.path(), files);
        }
        let home = target.path().to_owned();
        let applier =
            Applier { home, table: Arc::new(table()), owner: None, keep_previous: 1, budget: Budget::default() };
        Self { source, target, applier }
    }

    fn apply(&self) {
        let look = |home: &Path| scan(home, &table(), ScanOptions::default()).unwrap().manifest;
        let plan = diff(&look(self.source.path()), &look(self.target.path()), &table());
        let mut packer = Packer::of_plan(self.source.path(), &table(), &plan, Packing::default()).unwrap();
        let mut container = tempfile::NamedTempFile::new().unwrap();
        while let Some(part) = Some(packer.read(1 << 20).unwrap()).filter(|part| !part.is_empty()) {
            container.write_all(&part).unwrap();
        }
        self.applier.apply(container.path(), None).unwrap();
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let name = prop::sample::select(vec!["a", "b", "sub/c", "sub/d", "sub/deep/e", "x/y"]);
    prop::collection::btree_map(name.prop_map(str::to_owned), prop::collection::vec(any::<u8>(), 0..40), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_apply_and_a_rollback_leave_what_was(old in trees(), new in trees()) {
        let pair = Pair::new(&new, &old);
        pair.apply();
        prop_assert_eq!(read(pair.target.path()), new.clone());
        if old == new {
            prop_assert!(pair.applier.rollback().is_err());
        } else {
            prop_assert!(pair.applier.rollback().unwrap() > 0);
        }
        prop_assert_eq!(read(pair.target.path()), old);
    }
}

fn one(path: &str, content: &[u8]) -> Tree {
    BTreeMap::from([(path.to_owned(), content.to_vec())])
}

#[test]
fn a_second_rollback_has_nowhere_to_go() {
    let pair = Pair::new(&one("a", b"new"), &one("a", b"old"));
    pair.apply();
    pair.applier.rollback().unwrap();
    let error = pair.applier.rollback().unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }) && error.to_string().contains("keep_previous"), "{error}");
    assert_eq!(read(pair.target.path()), one("a", b"old"));
}

#[test]
fn what_somebody_changed_since_stays() {
    let pair = Pair::new(&one("a", b"new"), &one("a", b"old"));
    pair.apply();
    fs::remove_file(pair.target.path().join("etc/a")).unwrap();
    write(pair.target.path(), &one("a", b"own"));
    pair.applier.rollback().unwrap();
    assert_eq!(read(pair.target.path()), one("a", b"own"));
}

#[test]
fn a_rollback_that_was_cut_short_is_finished_at_the_next_start() {
    let pair = Pair::new(&one("a", b"new"), &one("a", b"old"));
    pair.apply();
    // What a crash leaves behind the first decision of a rollback.
    let own = pair.target.path().join(".outrider");
    let stage = fs::read_dir(own.join("stage")).unwrap().next().unwrap().unwrap().path();
    fs::rename(stage.join("journal"), own.join("journal.undo")).unwrap();
    pair.applier.recover().unwrap();
    assert_eq!(read(pair.target.path()), one("a", b"old"));
}

#[test]
fn threat_40_a_damaged_version_is_not_gone_back_to() {
    let pair = Pair::new(&one("a", b"new"), &one("a", b"old"));
    pair.apply();
    let stage = fs::read_dir(pair.target.path().join(".outrider/stage")).unwrap().next().unwrap().unwrap().path();
    fs::write(stage.join("journal"), b"").unwrap();
    let error = pair.applier.rollback().unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(read(pair.target.path()), one("a", b"new"));
}
