//! Trees on disk and the bundles between them.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrider_core::{
    Applied, Applier, Budget, BundlePacker, BundlePacking, Digest, Entry, Error, FileRule, FilesTable, Manifest,
    RelPath, Result, Signatures, Step, TreeContents,
};

/// Path to content.
pub type Tree = BTreeMap<String, String>;

pub fn tree(files: &[(&str, String)]) -> Tree {
    files.iter().map(|(path, content)| ((*path).to_owned(), content.clone())).collect()
}

pub fn table() -> FilesTable {
    let rule = |folder: &str, remove_subdirs_if_empty, extra_valid| FileRule {
        folder: folder.into(),
        names: None,
        recursive: true,
        permissions: 0o640,
        remove_subdirs_if_empty,
        extra_valid,
    };
    let rules =
        vec![rule("etc/rules/", false, false), rule("etc/shared/", true, false), rule("var/extra/", false, true)];
    FilesTable { rules, ..FilesTable::default() }
}

pub fn write(root: &Path, files: &Tree) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Every file below `root` but what the tree keeps for itself.
pub fn read(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_name() == ".outrider" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else {
                found.insert(path.to_str().unwrap().to_owned(), fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    found
}

/// Transactions that lie on disk.
pub fn kept_space(home: &Path) -> usize {
    let count = |name: &str| fs::read_dir(home.join(".outrider").join(name)).unwrap().count();
    count("stage") + count("trash")
}

pub fn entries(files: &Tree) -> Vec<Entry> {
    let entry = |(path, content): (&String, &String)| {
        let path = RelPath::new(path).unwrap();
        let rule = table().rule_for(&path).unwrap().folder.clone();
        Entry { path, digest: Digest::of(content.as_bytes()), mod_time: 1.0, rule }
    };
    files.iter().map(entry).collect()
}

pub fn contents(home: &Path) -> TreeContents {
    TreeContents::new(home, Arc::new(table())).unwrap()
}

pub fn packer(step: &Step, old: &Path, new: &Path, threads: usize) -> Result<BundlePacker> {
    let packing = BundlePacking { threads, ..BundlePacking::default() };
    BundlePacker::new(step, Arc::new(contents(old)), Arc::new(contents(new)), packing)
}

pub fn drain(mut packer: BundlePacker) -> Vec<u8> {
    let mut bundle = Vec::new();
    loop {
        let part = packer.read(10_000).unwrap();
        if part.is_empty() {
            return bundle;
        }
        bundle.extend(part);
    }
}

pub fn pack(step: &Step, old: &Path, new: &Path) -> Vec<u8> {
    drain(packer(step, old, new, 2).unwrap())
}

/// A worker's tree.
pub struct Node {
    pub folder: tempfile::TempDir,
    pub home: PathBuf,
    pub budget: Budget,
}

impl Node {
    pub fn new(files: &Tree) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        write(&home, files);
        Self { folder, home, budget: Budget::default() }
    }

    pub fn applier(&self) -> Applier {
        let (home, table) = (self.home.clone(), Arc::new(table()));
        Applier { home, table, owner: None, keep_previous: 0, budget: self.budget }
    }

    pub fn apply(&self, bundle: &[u8], from: &Manifest, root: Digest) -> Result<Applied> {
        self.applier().apply_bundle(bundle, from, root, None)
    }

    /// Applies what must fail.
    pub fn refuse(&self, bundle: &[u8], from: &Manifest, root: Digest) -> Error {
        let before = read(&self.home);
        let error = self.apply(bundle, from, root).expect_err("it was applied");
        assert!(read(&self.home) == before, "something changed");
        assert_eq!(kept_space(&self.home), 0, "space is still taken");
        error
    }

    /// Makes the tree this one again.
    pub fn reset(&self, files: &Tree) {
        fs::remove_dir_all(&self.home).unwrap();
        fs::create_dir(&self.home).unwrap();
        write(&self.home, files);
    }
}

/// A master's two trees, and a worker that stands at the first.
pub struct Pair {
    pub worker: Node,
    pub old: PathBuf,
    pub new: PathBuf,
    pub from: Manifest,
    pub to: Manifest,
}

impl Pair {
    pub fn new(old: &Tree, new: &Tree) -> Self {
        let worker = Node::new(old);
        let home = |name: &str, files: &Tree| {
            let home = worker.folder.path().join(name);
            fs::create_dir(&home).unwrap();
            write(&home, files);
            home
        };
        let (was, is) = (home("old", old), home("new", new));
        Self { old: was, new: is, from: entries(old).into(), to: entries(new).into(), worker }
    }

    pub fn step(&self) -> Step {
        Step::new(&self.from, &self.to, &table(), &[])
    }

    pub fn try_packer(&self, step: &Step) -> Result<BundlePacker> {
        packer(step, &self.old, &self.new, 2)
    }

    pub fn packer(&self, step: &Step) -> BundlePacker {
        self.try_packer(step).unwrap()
    }

    pub fn pack(&self, step: &Step) -> Vec<u8> {
        drain(self.packer(step))
    }

    /// The bundle of a master that keeps what the worker has.
    pub fn known(&self) -> Vec<u8> {
        self.pack(&self.step())
    }

    pub fn known_by(&self, threads: usize) -> Vec<u8> {
        drain(packer(&self.step(), &self.old, &self.new, threads).unwrap())
    }

    /// The bundle of a master that keeps nothing of it, and knows its chunks.
    pub fn unknown(&self) -> Vec<u8> {
        let signatures = Signatures::of(&contents(&self.worker.home), self.from.entries()).unwrap();
        let nothing = self.worker.folder.path().join("nothing");
        fs::create_dir_all(&nothing).unwrap();
        pack(&self.step().with_signatures(signatures), &nothing, &self.new)
    }
}

/// Bytes that do not shrink.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut x = seed;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x.to_be_bytes()[1]
    };
    (0..size).map(|_| next()).collect()
}

/// Text that shrinks to half.
pub fn hex(seed: u64, size: usize) -> String {
    noise(seed, size).iter().map(|byte| char::from(b"0123456789abcdef"[usize::from(byte & 15)])).collect()
}
