//! Applying: the tree becomes what the container says, or nothing changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outrider_core::{
    Applied, Applier, Budget, Digest, Entry, Error, FileRule, FilesTable, Packer, Packing, Plan, RelPath, Result,
    ScanOptions, diff, scan,
};
use proptest::prelude::*;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

const PATH_SEP: &[u8] = b"|//@@//|";
const FILE_SEP: &[u8] = b"|@@//@@|";

type Tree = BTreeMap<String, String>;

fn rule(folder: &str, permissions: u32, remove_subdirs_if_empty: bool) -> FileRule {
    FileRule {
        folder: folder.into(),
        names: None,
        recursive: true,
        permissions,
        remove_subdirs_if_empty,
        extra_valid: false,
    }
}

fn table() -> FilesTable {
    let rules = vec![rule("etc/rules/", 0o640, false), rule("etc/shared/", 0o660, true)];
    FilesTable { rules, excluded_files: vec!["ar.conf".into()], ..FilesTable::default() }
}

fn write(root: &Path, files: &Tree) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Everything below `root` but what the tree keeps for itself; folders are `name/`.
fn read(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = path.to_str().unwrap().to_owned();
            let kind = entry.file_type().unwrap();
            if entry.file_name() == ".outrider" {
                continue;
            }
            if kind.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(entry.path()).unwrap().display()));
            } else if kind.is_dir() {
                found.insert(name + "/", String::new());
                open.push(path);
            } else {
                found.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    found
}

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect()
}

fn entries(files: &Tree) -> Vec<Entry> {
    let entry = |(path, content): (&String, &String)| {
        let path = RelPath::new(path).unwrap();
        let rule = table().rule_for(&path)?.folder.clone();
        Some(Entry { path, digest: Digest::of(content.as_bytes()), mod_time: 1.0, rule })
    };
    files.iter().filter_map(entry).collect()
}

fn plan(new: &Tree, old: &Tree) -> Plan {
    diff(&entries(new).into(), &entries(old).into(), &table())
}

/// A container with the members of `content` and this metadata.
fn container(content: &Tree, plan: &Plan) -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), content);
    let given = Plan { missing: entries(content), ..Plan::default() };
    let mut packer = Packer::of_plan(home.path(), &table(), &given, Packing::default()).unwrap();
    let mut bytes = Vec::new();
    while let Some(part) = Some(packer.read(1 << 20).unwrap()).filter(|part| !part.is_empty()) {
        bytes.extend(part);
    }
    let mark = [b"files_metadata.json".as_slice(), PATH_SEP].concat();
    bytes.truncate(bytes.windows(mark.len()).rposition(|window| window == mark).unwrap() + mark.len());
    let mut stream = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::fast());
    plan.write_wire(&mut stream).unwrap();
    stream.finish().unwrap()
}

struct Node {
    folder: tempfile::TempDir,
    applier: Applier,
}

impl Node {
    fn new(files: &Tree) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        write(&home, files);
        let applier =
            Applier { home, table: Arc::new(table()), owner: None, keep_previous: 1, budget: Budget::default() };
        Self { folder, applier }
    }

    fn home(&self) -> &Path {
        &self.applier.home
    }

    fn apply(&self, container: &[u8]) -> Result<Applied> {
        let path = self.folder.path().join("container");
        fs::write(&path, container).unwrap();
        self.applier.apply(&path, None)
    }

    /// Applies what must fail; gives the error's text.
    fn refuse(&self, container: &[u8]) -> String {
        let before = read(self.home());
        let error = self.apply(container).expect_err("it was applied");
        assert_eq!(read(self.home()), before, "something changed");
        assert_eq!(self.kept(), 0, "space is still taken");
        error.to_string()
    }

    /// Transactions that lie on disk.
    fn kept(&self) -> usize {
        let count = |name: &str| fs::read_dir(self.home().join(".outrider").join(name)).unwrap().count();
        count("stage") + count("trash")
    }

    /// Where the last transaction lies: of those on disk the one with the highest number.
    fn previous(&self) -> PathBuf {
        let stages = fs::read_dir(self.home().join(".outrider/stage")).unwrap().map(|entry| entry.unwrap().path());
        let number = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        stages.max_by_key(number).unwrap()
    }
}

#[test]
fn a_container_brings_a_tree_in_step() {
    let old = tree(&[
        ("etc/rules/changed", "old"),
        ("etc/rules/gone", "old"),
        ("etc/rules/same", "same"),
        ("etc/shared/a/b/gone", "old"),
        ("etc/shared/a/b/ar.conf", "own"),
        ("etc/shared/a/gone", "old"),
        ("var/other", "own"),
    ]);
    let new = tree(&[("etc/rules/changed", "new"), ("etc/rules/same", "same"), ("etc/shared/x/y/new", "new")]);
    let node = Node::new(&old);
    let applied = node.apply(&container(&new, &plan(&new, &old))).unwrap();
    let after = tree(&[
        ("etc/", ""),
        ("etc/rules/", ""),
        ("etc/rules/changed", "new"),
        ("etc/rules/same", "same"),
        ("etc/shared/", ""),
        ("etc/shared/x/", ""),
        ("etc/shared/x/y/", ""),
        ("etc/shared/x/y/new", "new"),
        ("var/", ""),
        ("var/other", "own"),
    ]);
    assert_eq!(read(node.home()), after);
    let counts = (applied.written, applied.deleted, applied.folders_removed, applied.bytes_written);
    assert_eq!(counts, (2, 3, 2, 6));
    assert_eq!(*applied.plan, plan(&new, &old));
    let mode = |path: &str| fs::metadata(node.home().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("etc/rules/changed"), mode("etc/shared/x/y/new")), (0o640, 0o660));
    assert_eq!((mode("etc/shared/x"), mode(".outrider")), (0o770, 0o700));
}

#[test]
fn the_previous_version_stays_until_it_is_swept() {
    let versions = ["1", "2", "3"].map(|content| tree(&[("etc/rules/a", content)]));
    let mut node = Node::new(&versions[0]);
    for pair in versions.windows(2) {
        node.apply(&container(&pair[1], &plan(&pair[1], &pair[0]))).unwrap();
    }
    assert_eq!(node.kept(), 2);
    assert_eq!(node.applier.sweep().unwrap(), 1);
    assert_eq!(node.kept(), 1);
    assert_eq!(fs::read_to_string(node.previous().join("0")).unwrap(), "2");
    node.applier.keep_previous = 0;
    node.apply(&container(&versions[0], &plan(&versions[0], &versions[2]))).unwrap();
    assert_eq!(node.kept(), 0);
    assert_eq!(node.applier.recover().unwrap(), None);
}

#[test]
fn no_two_transactions_lie_in_one_place_of_the_disk() {
    let versions = ["1", "2"].map(|content| tree(&[("etc/rules/a", content)]));
    let mut node = Node::new(&versions[0]);
    node.applier.keep_previous = 1;
    node.apply(&container(&versions[1], &plan(&versions[1], &versions[0]))).unwrap();
    let first = node.previous();
    node.applier.keep_previous = 0;
    node.applier.sweep().unwrap();
    assert_eq!(node.kept(), 0);
    node.applier.keep_previous = 1;
    node.apply(&container(&versions[0], &plan(&versions[0], &versions[1]))).unwrap();
    assert_ne!(node.previous(), first, "ext4 goes by the name of a stage");

    let flags = |path: &Path| ioctl_getflags(fs::File::open(path).unwrap()).unwrap_or(IFlags::empty());
    let probe = tempfile::tempdir().unwrap();
    let able = ioctl_setflags(fs::File::open(&probe).unwrap(), flags(probe.path()) | IFlags::TOPDIR).is_ok();
    assert_eq!(flags(&node.home().join(".outrider/stage")).contains(IFlags::TOPDIR), able);
}

#[test]
fn a_container_that_asks_for_nothing_is_no_version() {
    let (old, new) = (tree(&[("etc/rules/a", "1")]), tree(&[("etc/rules/a", "2")]));
    let node = Node::new(&old);
    node.apply(&container(&new, &plan(&new, &old))).unwrap();
    let applied = node.apply(&container(&new, &Plan::default())).unwrap();
    assert_eq!((applied.written, applied.deleted), (0, 0));
    node.applier.sweep().unwrap();
    assert_eq!(node.kept(), 1);
    assert_eq!(fs::read_to_string(node.previous().join("0")).unwrap(), "1");
}

#[test]
fn content_that_is_there_already_and_files_that_are_gone_already_are_fine() {
    let new = tree(&[("etc/rules/a", "new")]);
    let given = plan(&new, &tree(&[("etc/rules/gone", ""), ("etc/shared/x/gone", "")]));
    let node = Node::new(&new);
    let applied = node.apply(&container(&new, &given)).unwrap();
    assert_eq!((applied.written, applied.deleted, applied.folders_removed), (1, 0, 0));
}

#[test]
fn the_recorded_container_is_applied_whole() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/container-1.bin");
    let mut node = Node::new(&Tree::new());
    let rules = ["etc/rules/", "etc/decoders/", "etc/lists/", "etc/shared/", "var/multigroups/"];
    let mut table =
        FilesTable { rules: rules.map(|folder| rule(folder, 0o660, true)).to_vec(), ..FilesTable::default() };
    table.rules.push(FileRule { names: Some(vec!["client.keys".into()]), ..rule("etc/", 0o640, false) });
    node.applier.table = Arc::new(table);
    let applied = node.applier.apply(&recorded, None).unwrap();
    assert_eq!(applied.written, 30);
    for entry in applied.plan.written() {
        assert_eq!(Digest::of(&fs::read(node.home().join(entry.path.as_str())).unwrap()), entry.digest);
    }
}

#[test]
fn threat_29_content_that_is_not_its_entrys_changes_nothing() {
    let (old, new) = (tree(&[("etc/rules/a", "old")]), tree(&[("etc/rules/a", "new"), ("etc/rules/b", "new")]));
    let node = Node::new(&old);
    let swapped = tree(&[("etc/rules/a", "new"), ("etc/rules/b", "other")]);
    assert!(node.refuse(&container(&swapped, &plan(&new, &old))).contains("does not match the hash"));
    let absent = tree(&[("etc/rules/a", "new")]);
    assert!(node.refuse(&container(&absent, &plan(&new, &old))).contains("its content is absent"));
}

#[test]
fn threat_31_a_container_that_deletes_more_than_may_go_changes_nothing() {
    let old: Vec<_> = (0..9).map(|number| (format!("etc/rules/{number}"), "old")).collect();
    let old = tree(&old.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>());
    let new = tree(&[("etc/rules/0", "old")]);
    let node = Node::new(&old);
    scan(node.home(), &table(), ScanOptions::default()).unwrap();
    let path = node.folder.path().join("container");
    fs::write(&path, container(&new, &plan(&new, &old))).unwrap();
    let before = read(node.home());
    let error = node.applier.apply(&path, Some(7)).unwrap_err();
    assert!(matches!(error, Error::HeldBack { deleted: 8, held: 9 }), "{error}");
    assert_eq!((read(node.home()), node.kept()), (before, 0));
    assert_eq!(node.applier.apply(&path, Some(8)).unwrap().deleted, 8);
    assert_eq!(fs::read_dir(node.home().join("etc/rules")).unwrap().count(), 1);
}

#[test]
fn a_container_that_brings_another_tree_may_delete_all_of_the_old_one() {
    let old: Vec<_> = (0..9).map(|number| (format!("etc/rules/{number}"), "old")).collect();
    let old = tree(&old.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>());
    let new = tree(&[("etc/rules/new", "new")]);
    let node = Node::new(&old);
    let path = node.folder.path().join("container");
    fs::write(&path, container(&new, &plan(&new, &old))).unwrap();
    assert_eq!(node.applier.apply(&path, Some(7)).unwrap().deleted, 9);
}

#[test]
fn threat_24_what_a_plan_may_not_name_changes_nothing() {
    let new = tree(&[("etc/rules/a", "new")]);
    let node = Node::new(&tree(&[("etc/rules/z", "old"), ("etc/passwd", "own")]));
    let given = plan(&new, &Tree::new());
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = given.clone();
        change(&mut plan);
        node.refuse(&container(&new, &plan))
    };
    let entry = |path: &str, rule: &str| {
        let path = RelPath::new(path).unwrap();
        Entry { path, digest: Digest::of(b""), mod_time: 0.0, rule: rule.into() }
    };
    let refused = with(&|plan| plan.missing[0].rule = "etc/shared/".into());
    assert!(refused.contains("belongs to etc/rules/ in this node's files table"), "{refused}");
    for path in ["etc/passwd", "etc/rules/ar.conf"] {
        let refused = with(&|plan| plan.extra = vec![entry(path, "etc/rules/")]);
        assert!(refused.contains("is not in this node's files table"), "{refused}");
    }
    let own = "etc/rules/.outrider/journal";
    assert!(with(&|plan| plan.extra = vec![entry(own, "etc/rules/")]).contains("the node's own"));
    for bad in ["../x", "/etc/passwd", "a/../../b", own] {
        let good = container(&new, &given);
        let stream = &good[good.windows(8).position(|window| window == PATH_SEP).unwrap()..];
        assert!(node.refuse(&[bad.as_bytes(), stream].concat()).contains("is refused"), "{bad}");
    }
}

#[test]
fn a_container_that_is_damaged_changes_nothing() {
    let new = tree(&[("etc/rules/a", "new"), ("etc/rules/b", "new")]);
    let node = Node::new(&tree(&[("etc/rules/a", "old")]));
    let good = container(&new, &plan(&new, &Tree::new()));
    for end in 0..good.len() {
        node.refuse(&good[..end]);
    }
    node.refuse(&[good.as_slice(), FILE_SEP].concat());
    let first = good.windows(8).position(|window| window == FILE_SEP).unwrap() + 8;
    assert!(node.refuse(&[&good[..first], &good].concat()).contains("holds it twice"));
}

#[test]
fn members_that_the_plan_does_not_list_are_thrown_away() {
    let (listed, more) = (tree(&[("etc/rules/a", "new")]), tree(&[("etc/rules/a", "new"), ("etc/rules/b", "more")]));
    let node = Node::new(&Tree::new());
    node.apply(&container(&more, &plan(&listed, &Tree::new()))).unwrap();
    assert!(!node.home().join("etc/rules/b").exists());
    assert!(!node.previous().join("1").exists());
}

#[test]
fn what_stands_in_the_way_changes_nothing() {
    let new = tree(&[("etc/rules/a", "new"), ("etc/rules/b", "new")]);
    let given = container(&new, &plan(&new, &Tree::new()));
    let full = Node::new(&tree(&[("etc/rules/b/x/own", "own")]));
    assert!(full.refuse(&given).contains("not empty"));
    let file = Node::new(&tree(&[("etc/rules", "own")]));
    assert!(file.refuse(&given).contains("a file stands where a folder is needed"));
    let link = Node::new(&tree(&[("elsewhere/own", "own")]));
    fs::create_dir(link.home().join("etc")).unwrap();
    symlink("../elsewhere", link.home().join("etc/rules")).unwrap();
    assert!(link.refuse(&given).contains("link"));
    let both = tree(&[("etc/rules/a", "new")]);
    let mut twice = plan(&both, &Tree::new());
    twice.missing.extend(entries(&tree(&[("etc/rules/a/b", "")])));
    let node = Node::new(&Tree::new());
    let bytes = container(&tree(&[("etc/rules/b", ""), ("etc/rules/a", "new")]), &twice);
    assert!(node.refuse(&bytes).contains("absent"));
}

#[test]
fn empty_folders_and_links_in_the_place_of_files_give_way() {
    let new = tree(&[("etc/rules/a", "new"), ("etc/rules/b", "new")]);
    let old = tree(&[("etc/rules/a/x/gone", "old")]);
    let node = Node::new(&old);
    fs::create_dir_all(node.home().join("etc/rules/a/empty/deep")).unwrap();
    symlink("/etc/passwd", node.home().join("etc/rules/b")).unwrap();
    let applied = node.apply(&container(&new, &plan(&new, &old))).unwrap();
    assert_eq!(applied.folders_removed, 1);
    let after = [("etc/", ""), ("etc/rules/", ""), ("etc/rules/a", "new"), ("etc/rules/b", "new")];
    assert_eq!(read(node.home()), tree(&after));
}

#[test]
fn a_file_gives_way_to_a_folder_when_it_is_deleted() {
    let (old, new) = (tree(&[("etc/rules/a", "old")]), tree(&[("etc/rules/a/b", "new")]));
    let node = Node::new(&old);
    node.apply(&container(&new, &plan(&new, &old))).unwrap();
    assert_eq!(read(node.home())["etc/rules/a/b"], "new");
}

#[test]
fn two_applies_do_not_meet() {
    let node = Node::new(&Tree::new());
    node.applier.recover().unwrap();
    let held = fs::File::open(node.home().join(".outrider")).unwrap();
    held.lock().unwrap();
    let new = tree(&[("etc/rules/a", "new")]);
    let given = container(&new, &plan(&new, &Tree::new()));
    assert!(matches!(node.apply(&given), Err(Error::Conflict { .. })));
    drop(held);
    node.apply(&given).unwrap();
}

#[test]
fn threat_27_the_budget_of_the_settings_holds() {
    let new = tree(&[("etc/rules/a", &"x".repeat(5_000))]);
    let given = container(&new, &plan(&new, &Tree::new()));
    let mut node = Node::new(&Tree::new());
    node.applier.budget.file_bytes = 4_999;
    assert!(node.refuse(&given).contains("4999"));
    node.applier.budget.file_bytes = 5_000;
    node.apply(&given).unwrap();
}

#[test]
fn threat_25_a_folder_that_becomes_a_link_never_leads_outside() {
    let node = Node::new(&tree(&[("etc/rules/sub/a", "0")]));
    let outside = node.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "secret").unwrap();
    let (sub, aside) = (node.home().join("etc/rules/sub"), node.home().join("etc/aside"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Either of the two for about as long as there is between a check and the write after it.
            let spin = |round: u32| (0..round * 7919 % 20_000).for_each(|_| std::hint::spin_loop());
            for round in (0..=u32::from(u16::MAX)).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                let _ = fs::rename(&sub, &aside);
                let _ = symlink(&outside, &sub);
                spin(round);
                let _ = fs::remove_file(&sub);
                let _ = fs::rename(&aside, &sub);
                spin(round / 3);
            }
        });
        for round in 0..100 {
            let new = tree(&[("etc/rules/sub/a", &round.to_string()), ("etc/rules/sub/b", &round.to_string())]);
            // Either outcome is right; only the outside must not change.
            let _ = node.apply(&container(&new, &plan(&new, &Tree::new())));
            let _ = node.applier.recover();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(read(&outside), tree(&[("a", "secret")]));
}

fn some_tree() -> impl Strategy<Value = Tree> {
    let path = prop::sample::select(vec![
        "etc/rules/a",
        "etc/rules/b",
        "etc/rules/a/b",
        "etc/rules/c/d/e",
        "etc/rules/c/d",
        "etc/shared/a",
        "etc/shared/a/ar.conf",
        "etc/shared/a/x",
        "etc/shared/a/y/z",
        "etc/shared/b/ar.conf",
        "etc/shared/b/x",
    ]);
    prop::collection::btree_map(path, "[01]{0,3}", 0..8).prop_map(|files| {
        let mut kept = Tree::new();
        for (path, content) in files {
            // A path is a file or a folder; sorted, so the file comes first.
            if !kept.keys().any(|file| path.starts_with(&format!("{file}/"))) {
                kept.insert(path.to_owned(), content);
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn an_apply_makes_trees_equal_or_changes_nothing(old in some_tree(), new in some_tree(), unknown in some_tree(),
                                                     surprise in any::<bool>()) {
        // What stands there may be more than the worker said it holds.
        let mut there = old.clone();
        if surprise {
            for (path, content) in unknown {
                let clash = |file: &String| file.starts_with(&format!("{path}/")) || path.starts_with(&format!("{file}/"));
                if !there.keys().any(clash) {
                    there.entry(path).or_insert(content);
                }
            }
        }
        let node = Node::new(&there);
        let before = read(node.home());
        let given = plan(&new, &old);
        if let Err(error) = node.apply(&container(&new, &given)) {
            prop_assert!(matches!(error, Error::Conflict { .. }), "{}", error);
            prop_assert_eq!(read(node.home()), before);
            prop_assert_eq!(node.kept(), 0);
            return Ok(());
        }
        let after = read(node.home());
        for entry in entries(&new) {
            prop_assert_eq!(&after[entry.path.as_str()], &new[entry.path.as_str()]);
        }
        for entry in &given.extra {
            prop_assert!(!after.contains_key(entry.path.as_str()), "{} stayed", entry.path);
        }
        if there == old {
            let synced = |(path, _): &(&String, &String)| !path.ends_with('/') && !path.ends_with("ar.conf");
            let files: Vec<_> = after.iter().filter(synced).collect();
            let wanted: Vec<_> = new.iter().filter(synced).collect();
            prop_assert_eq!(files, wanted);
        }
    }
}
