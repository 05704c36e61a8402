//! The store of generations on a real disk: what was added is there again, whatever happened to its files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use outrider_core::{
    Contents, Digest, Entry, Error, Generation, GenerationContents, GenerationLimits, Generations, Manifest, RelPath,
    Result, peek,
};
use proptest::prelude::*;

const LINEAGE: [u8; 16] = *b"a store of tests";
const MANY: GenerationLimits = GenerationLimits { count: 1000, bytes: 1 << 30 };

/// A tree in memory, and how often something was read from it.
#[derive(Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    read: Mutex<Vec<String>>,
}

impl Files {
    fn of(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        Self { files, read: Mutex::default() }
    }

    fn set(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), content.into());
    }

    fn manifest(&self) -> Arc<Manifest> {
        let entry = |(path, content): (&String, &Vec<u8>)| Entry {
            path: RelPath::new(path).unwrap(),
            digest: Digest::of(content),
            mod_time: 7.5,
            rule: "etc/".into(),
        };
        Arc::new(self.files.iter().map(entry).collect::<Vec<_>>().into())
    }

    fn reads(&self) -> Vec<String> {
        let mut read = std::mem::take(&mut *self.read.lock().unwrap());
        read.sort();
        read
    }
}

impl Contents for Files {
    fn open(&self, entry: &Entry) -> Result<Option<Box<dyn Read + Send>>> {
        self.read.lock().unwrap().push(entry.path.to_string());
        let content = self.files.get(entry.path.as_str()).cloned();
        Ok(content.map(|content| Box::new(std::io::Cursor::new(content)) as Box<dyn Read + Send>))
    }

    fn size(&self, entry: &Entry) -> Result<Option<u64>> {
        Ok(self.files.get(entry.path.as_str()).map(|content| content.len() as u64))
    }
}

fn open(home: &Path, limits: GenerationLimits) -> Generations {
    Generations::open(home, limits, LINEAGE).unwrap()
}

fn add(store: &Generations, tree: &Files) -> u64 {
    store.add(&tree.manifest(), tree, 1_700_000_000.5).unwrap().number
}

fn numbers(store: &Generations) -> Vec<u64> {
    store.list().iter().map(|generation| generation.number).collect()
}

/// `None` if it is not kept. What is handed out is right, or this fails.
fn content(contents: &GenerationContents, entry: &Entry) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    contents.open(entry).unwrap()?.read_to_end(&mut content).ok()?;
    assert_eq!(Digest::of(&content), entry.digest, "{} is wrong", entry.path);
    if let Some(size) = contents.size(entry).unwrap() {
        assert_eq!(size, content.len() as u64);
    }
    Some(content)
}

/// Whether a generation can be given back exactly as it was.
fn is_whole(store: &Generations, number: u64, tree: &Files) -> bool {
    let contents = store.contents();
    store.manifest(number).is_some_and(|manifest| {
        assert_eq!(manifest, tree.manifest(), "generation {number}");
        manifest
            .entries()
            .iter()
            .all(|entry| content(&contents, entry).is_some_and(|content| content == tree.files[entry.path.as_str()]))
    })
}

fn folder(home: &Path) -> PathBuf {
    home.join(".outrider/generations")
}

fn files(home: &Path) -> Vec<String> {
    let names = fs::read_dir(folder(home)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Noise that does not shrink.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 2 * seed + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_was_added_is_there_again_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), MANY);
    assert_eq!((store.latest(), store.find(&Manifest::default().root())), (None, None));
    let first = Files::of(&[("etc/a", b"one"), ("etc/b", b"two"), ("etc/empty", b"")]);
    let second = Files::of(&[("etc/a", b"one"), ("etc/b", b"three"), ("etc/c", b"one")]);
    assert_eq!((add(&store, &first), add(&store, &second)), (1, 2));
    let check = |store: &Generations| {
        assert!(is_whole(store, 1, &first) && is_whole(store, 2, &second));
        assert_eq!(store.find(&first.manifest().root()), Some(1));
        let Generation { number, root, time, files, .. } = store.latest().unwrap();
        assert_eq!((number, root, time, files), (2, second.manifest().root(), 1_700_000_000.5, 3));
        assert_eq!((numbers(store), store.damaged(), store.lineage()), (vec![1, 2], 0, LINEAGE));
        assert!(store.manifest(3).is_none());
    };
    check(&store);
    drop(store);
    check(&open(home.path(), MANY));
}

#[test]
fn only_contents_that_are_new_are_read_and_one_of_equal_ones() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), MANY);
    let mut tree = Files::of(&[("etc/a", b"one"), ("etc/b", b"one"), ("etc/c", b"two")]);
    add(&store, &tree);
    assert_eq!(tree.reads(), ["etc/a", "etc/c"]);
    tree.set("etc/d", "two");
    tree.set("etc/e", "three");
    add(&store, &tree);
    assert_eq!(tree.reads(), ["etc/e"]);
    assert_eq!(add(&store, &tree), 2, "the same tree is the same generation");
    tree.set("etc/d", "four");
    drop(store);
    let store = open(home.path(), MANY);
    assert_eq!(add(&store, &tree), 3);
    assert_eq!(tree.reads(), ["etc/d"]);
}

#[test]
fn a_change_costs_little_and_manifests_are_whole_now_and_then() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), MANY);
    let mut tree = Files::default();
    (0..2000).for_each(|at| tree.set(&format!("etc/{at:04}"), format!("content {at}")));
    add(&store, &tree);
    let mut whole = Vec::new();
    for at in 0..300 {
        tree.set("etc/0007", format!("change {at}"));
        add(&store, &tree);
        if store.latest().unwrap().bytes > 2000 * 64 {
            whole.push(at);
        } else {
            assert!(store.latest().unwrap().bytes < 1000);
        }
    }
    assert_eq!(whole, [128, 257]);
    drop(store);
    assert!(is_whole(&open(home.path(), MANY), 301, &tree));
}

#[test]
fn threat_36_a_file_that_changed_since_it_was_looked_at_is_told() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), MANY);
    let mut tree = Files::of(&[("etc/a", b"one"), ("etc/large", &noise(1, 9 << 20))]);
    add(&store, &tree);
    for (path, now) in [("etc/a", b"1".to_vec()), ("etc/large", noise(2, 9 << 20))] {
        tree.set(path, now);
        let manifest = tree.manifest();
        tree.files.get_mut(path).unwrap()[0] ^= 1;
        let error = store.add(&manifest, &tree, 0.0).unwrap_err();
        assert!(matches!(&error, Error::Conflict { path: at, why } if at == path && why.contains("changed")));
        tree.files.remove(path);
        assert!(matches!(store.add(&manifest, &tree, 0.0), Err(Error::Conflict { .. })));
    }
    assert_eq!((numbers(&store), files(home.path())), (vec![1], vec!["1.generation".to_owned(), "last".to_owned()]));
    tree.set("etc/b", "two");
    assert_eq!(add(&store, &tree), 2, "a number that was not given is not lost");
}

#[test]
fn large_contents_are_streamed_both_ways() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), MANY);
    let text: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    let tree = Files::of(&[
        ("etc/noise", &noise(3, 9 << 20)),
        ("etc/small", b"x"),
        ("etc/text", &[text.clone(), text].concat()),
    ]);
    add(&store, &tree);
    assert!(is_whole(&store, 1, &tree));
    // The end of the file holds index and manifest; before it lies the large content that came last.
    flip(&folder(home.path()).join("1.generation"), 5 << 20, 0);
    assert!(!is_whole(&store, 1, &tree));
    assert_eq!(store.damaged(), 1);
}

#[test]
fn limits_of_count_hold_and_contents_stay_as_long_as_they_are_needed() {
    let home = tempfile::tempdir().unwrap();
    let limits = GenerationLimits { count: 3, bytes: 1 << 30 };
    let store = open(home.path(), limits);
    let mut tree = Files::default();
    (0..50).for_each(|at| tree.set(&format!("etc/{at:02}"), noise(at + 1, 100)));
    let mut trees = Vec::new();
    for at in 0..200u64 {
        tree.set(&format!("etc/{:02}", at % 40), noise(1000 + at, 100));
        let number = add(&store, &tree);
        store.sweep().unwrap();
        trees.push(Files { files: tree.files.clone(), read: Mutex::default() });
        assert_eq!(numbers(&store), (number.saturating_sub(2).max(1)..=number).collect::<Vec<_>>());
        for kept in numbers(&store) {
            assert!(is_whole(&store, kept, &trees[usize::try_from(kept).unwrap() - 1]), "{kept} of {number}");
        }
        assert!(files(home.path()).len() < 75, "files of former generations are written together");
    }
    drop(store);
    let store = open(home.path(), limits);
    assert!((198..=200).all(|kept| is_whole(&store, kept, &trees[usize::try_from(kept).unwrap() - 1])));
    assert_eq!(store.damaged(), 0);
}

#[test]
fn limits_that_change_while_the_store_is_open_hold_from_the_next_sweep_on() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), GenerationLimits { count: 9, bytes: 1 << 30 });
    let mut tree = Files::default();
    for at in 1..=6 {
        tree.set("etc/a", noise(at, 100));
        add(&store, &tree);
    }
    store.limit(GenerationLimits { count: 2, bytes: 1 << 30 });
    assert_eq!(numbers(&store).len(), 6);
    assert_eq!(store.sweep().unwrap(), 4);
    assert_eq!(numbers(&store), [5, 6]);
    store.limit(GenerationLimits { count: 9, bytes: 1 << 30 });
    tree.set("etc/a", noise(7, 100));
    add(&store, &tree);
    assert_eq!(store.sweep().unwrap(), 0);
    assert_eq!(numbers(&store), [5, 6, 7]);
}

fn bytes(home: &Path) -> u64 {
    fs::read_dir(folder(home)).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn limits_of_bytes_hold_and_the_oldest_go_first() {
    let home = tempfile::tempdir().unwrap();
    let limits = GenerationLimits { count: 100, bytes: 100_000 };
    let store = open(home.path(), limits);
    let mut tree = Files::of(&[("etc/still", &noise(7, 20_000))]);
    for at in 0..40 {
        tree.set("etc/moving", noise(100 + at, 10_000));
        add(&store, &tree);
        store.sweep().unwrap();
        assert!(bytes(home.path()) <= limits.bytes + 96, "{} bytes", bytes(home.path()));
        assert!(is_whole(&store, at + 1, &tree));
    }
    assert!(numbers(&store).len() >= 4, "{:?}", numbers(&store));
    assert_eq!(numbers(&store).last(), Some(&40));
}

#[test]
fn what_is_too_large_is_not_kept_and_that_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let limits = GenerationLimits { count: 5, bytes: 60_000 };
    let store = open(home.path(), limits);
    let large = noise(5, 9 << 20);
    let mut tree = Files::of(&[
        ("etc/a", b"small"),
        ("etc/b", &noise(1, 50_000)),
        ("etc/c", &noise(2, 50_000)),
        ("etc/d", &large),
    ]);
    for number in 1..4 {
        assert_eq!(add(&store, &tree), number);
        store.sweep().unwrap();
        assert!(bytes(home.path()) <= limits.bytes + 96, "{} bytes", bytes(home.path()));
        let manifest = store.manifest(number).unwrap();
        assert_eq!(manifest, tree.manifest());
        assert_eq!(content(&store.contents(), manifest.get("etc/d").unwrap()), None);
        assert_eq!(store.contents().size(manifest.get("etc/d").unwrap()).unwrap(), None);
        tree.set("etc/a", format!("small {number}"));
    }
    assert_eq!(store.damaged(), 0);
}

#[test]
fn threat_30_numbers_only_grow() {
    let home = tempfile::tempdir().unwrap();
    let mut tree = Files::of(&[("etc/a", b"0")]);
    for number in 1..5 {
        tree.set("etc/a", number.to_string());
        assert_eq!(add(&open(home.path(), MANY), &tree), number);
    }
    // The records are gone, the highest number is not.
    for name in files(home.path()).iter().filter(|name| *name != "last") {
        fs::remove_file(folder(home.path()).join(name)).unwrap();
    }
    let store = open(home.path(), MANY);
    assert_eq!((store.latest(), store.lineage()), (None, LINEAGE));
    assert_eq!(add(&store, &tree), 5);
    drop(store);
    // The other way round.
    for damage in [b"".as_slice(), b"no such thing"] {
        fs::write(folder(home.path()).join("last"), damage).unwrap();
        let store = Generations::open(home.path(), MANY, [9; 16]).unwrap();
        assert_eq!((store.lineage(), store.latest().unwrap().number), (LINEAGE, 5));
    }
    // All is gone: another lineage says so.
    fs::remove_dir_all(folder(home.path())).unwrap();
    let store = Generations::open(home.path(), MANY, [9; 16]).unwrap();
    assert_eq!((add(&store, &tree), store.lineage()), (1, [9; 16]));
}

#[test]
fn one_store_has_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), MANY);
    let contents = store.contents();
    let error = Generations::open(home.path(), MANY, LINEAGE).err().unwrap();
    assert!(error.to_string().contains("another node"), "{error}");
    drop(store);
    drop(contents);
    let (closed, tree) = (open(home.path(), MANY), Files::of(&[("etc/a", b"one")]));
    add(&closed, &tree);
    closed.close().unwrap();
    let next = open(home.path(), MANY);
    assert!(is_whole(&next, 1, &tree) && is_whole(&closed, 1, &tree));
    let other = Files::default();
    for refused in [closed.add(&other.manifest(), &other, 0.0).map(|_| 0), closed.sweep()] {
        assert!(refused.unwrap_err().to_string().contains("is closed"));
    }
    assert_eq!(add(&next, &other), 2);
    assert!(matches!(Generations::open(&home.path().join("nowhere"), MANY, LINEAGE), Err(Error::Io { .. })));
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    // In place, as a disk does it: who has it open sees it too.
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0))
        .unwrap();
}

/// Three generations, a whole record and two of changes, in a folder of its own.
fn three(home: &Path) -> [Files; 3] {
    let store = open(home, MANY);
    let mut tree = Files::default();
    (0..8).for_each(|at| tree.set(&format!("etc/{at}"), format!("content {at} {at} {at}")));
    let trees = [1, 2, 3].map(|change| {
        tree.set("etc/7", format!("change {change}"));
        add(&store, &tree);
        Files { files: tree.files.clone(), read: Mutex::default() }
    });
    assert_eq!(numbers(&store), [1, 2, 3]);
    trees
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(folder(to)).unwrap();
    for name in files(from) {
        fs::copy(folder(from).join(&name), folder(to).join(&name)).unwrap();
    }
}

#[test]
fn threat_40_a_flipped_bit_is_found_and_nothing_wrong_is_handed_out() {
    let origin = tempfile::tempdir().unwrap();
    let trees = three(origin.path());
    let (mut flips, mut harmless) = (0, 0);
    for name in ["1.generation", "2.generation", "3.generation"] {
        for at in 0..fs::read(folder(origin.path()).join(name)).unwrap().len() {
            let home = tempfile::tempdir().unwrap();
            copied(origin.path(), home.path());
            flip(&folder(home.path()).join(name), at, u8::try_from(at % 8).unwrap());
            let store = open(home.path(), MANY);
            let whole = (1u64..=3).zip(&trees).filter(|(number, tree)| is_whole(&store, *number, tree)).count();
            // A frame has bits that mean nothing; everything else is found.
            assert!(whole == 3 || store.damaged() > 0, "{name}: byte {at} was not found");
            flips += 1;
            harmless += usize::from(store.damaged() == 0);
            // It heals: what the tree has is copied again where it is missed.
            let mut tree = Files { files: trees[2].files.clone(), read: Mutex::default() };
            tree.set("etc/new", "new");
            assert_eq!(add(&store, &tree), 4);
            assert!(is_whole(&store, 4, &tree), "{name}: byte {at}");
            drop(store);
            assert!(is_whole(&open(home.path(), MANY), 4, &tree), "{name}: byte {at}");
        }
    }
    assert!(harmless * 50 < flips, "{harmless} of {flips} changed nothing");
}

#[test]
fn a_cut_at_any_byte_leaves_the_generations_before() {
    let origin = tempfile::tempdir().unwrap();
    let trees = three(origin.path());
    let last = fs::read(folder(origin.path()).join("3.generation")).unwrap();
    // Half-written under its name while it is written, and, on a disk that lies, under its final one.
    for (name, damaged) in [("new", 0), ("3.generation", 1)] {
        for length in 0..last.len() {
            let home = tempfile::tempdir().unwrap();
            copied(origin.path(), home.path());
            fs::remove_file(folder(home.path()).join("3.generation")).unwrap();
            fs::write(folder(home.path()).join(name), &last[..length]).unwrap();
            let store = open(home.path(), MANY);
            assert_eq!((numbers(&store), store.damaged()), (vec![1, 2], damaged));
            assert!(is_whole(&store, 1, &trees[0]) && is_whole(&store, 2, &trees[1]));
            assert!(!files(home.path()).contains(&name.to_owned()));
            assert_eq!(add(&store, &trees[2]), 4, "3 was given");
        }
    }
}

#[test]
fn what_does_not_belong_in_the_folder_is_left_alone_or_removed() {
    let home = tempfile::tempdir().unwrap();
    let trees = three(home.path());
    let folder = folder(home.path());
    fs::write(folder.join("notes"), "mine").unwrap();
    fs::write(folder.join("07.generation"), "not our way to write a number").unwrap();
    std::os::unix::fs::symlink("1.generation", folder.join("9.generation")).unwrap();
    fs::copy(folder.join("2.generation"), folder.join("5.generation")).unwrap();
    let store = open(home.path(), MANY);
    assert_eq!((numbers(&store), store.damaged()), (vec![1, 2, 3], 2));
    assert!(folder.join("notes").exists() && folder.join("07.generation").exists());
    assert!(is_whole(&store, 3, &trees[2]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any row of trees, swept and reopened anywhere: what is listed is what was added.
    #[test]
    fn any_history_is_told_again(
        steps in prop::collection::vec((prop::collection::btree_map("[ab](/[ab]){0,2}x", 0u16..6, 0..8), 0u8..4), 1..40),
        count in 1usize..6,
    ) {
        let home = tempfile::tempdir().unwrap();
        let limits = GenerationLimits { count, bytes: 1 << 20 };
        let (mut store, mut history): (_, BTreeMap<u64, Files>) = (open(home.path(), limits), BTreeMap::new());
        for (files, then) in steps {
            let files = files.into_iter().map(|(path, content)| (path, content.to_string().into_bytes())).collect();
            let tree = Files { files, read: Mutex::default() };
            let number = add(&store, &tree);
            history.insert(number, tree);
            if then >= 2 {
                store.sweep().unwrap();
                prop_assert!(numbers(&store).len() <= count);
            }
            if then == 3 {
                drop(store);
                store = open(home.path(), limits);
            }
            for number in numbers(&store) {
                prop_assert!(is_whole(&store, number, &history[&number]));
            }
            prop_assert_eq!(store.latest().map(|latest| latest.number), Some(number));
        }
        prop_assert_eq!(store.damaged(), 0);
    }
}

#[test]
fn the_latest_is_read_beside_whoever_has_the_store_open() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(peek(home.path()).unwrap(), None);
    let store = open(home.path(), GenerationLimits { count: 2, bytes: 1 << 20 });
    assert_eq!(peek(home.path()).unwrap(), None);
    let mut tree = Files::of(&[("etc/a", b"0"), ("etc/b", b"0"), ("etc/c", b"0"), ("etc/d", b"0")]);
    for number in 1..5 {
        tree.files.insert("etc/a".to_owned(), vec![number]);
        add(&store, &tree);
        store.sweep().unwrap();
        let (generation, manifest) = peek(home.path()).unwrap().unwrap();
        assert_eq!((Some(generation), manifest), (store.latest(), (*tree.manifest()).clone()));
    }
}
