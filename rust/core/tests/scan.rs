//! What a scan sees, leaves out, remembers and reads again.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use outrider_core::index::SETTLE;
use outrider_core::{Digest, Error, FileRule, FilesTable, Scan, ScanOptions, ScanProgress, scan};
use tempfile::TempDir;

fn table(folders: &[&str]) -> FilesTable {
    let rule = |folder: &&str| FileRule {
        folder: (*folder).into(),
        names: None,
        recursive: true,
        permissions: 0o660,
        remove_subdirs_if_empty: false,
        extra_valid: false,
    };
    FilesTable { rules: folders.iter().map(rule).collect(), ..FilesTable::default() }
}

fn tree(files: &[(&str, &str)]) -> TempDir {
    let home = TempDir::new().unwrap();
    for (path, content) in files {
        write(home.path(), path, content.as_bytes());
    }
    home
}

fn write(home: &Path, path: &str, content: &[u8]) {
    let path = home.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn look(home: &TempDir, table: &FilesTable) -> Scan {
    scan(home.path(), table, ScanOptions { threads: 2, ..ScanOptions::default() }).unwrap()
}

fn paths(scan: &Scan) -> Vec<&str> {
    scan.manifest.entries().iter().map(|entry| entry.path.as_str()).collect()
}

fn problems(scan: &Scan) -> Vec<&str> {
    scan.problems.iter().map(|problem| problem.path.as_str()).collect()
}

#[test]
fn the_rules_of_the_table_decide_what_takes_part() {
    let home = tree(&[
        ("etc/client.keys", "k"),
        ("etc/other", "o"),
        ("etc/deep/client.keys", "no"),
        ("etc/shared/a/agent.conf", "c"),
        ("etc/shared/ar.conf", "no"),
        ("etc/shared/x.tmp", "no"),
        ("etc/shared/.outrider/index", "no"),
        ("var/x", "no"),
    ]);
    let mut table = table(&["etc/", "etc/shared/", "etc/absent/"]);
    table.rules[0].names = Some(vec!["client.keys".to_owned()]);
    table.rules[0].recursive = false;
    table.excluded_files = vec!["ar.conf".to_owned()];
    table.excluded_suffixes = vec![".tmp".to_owned()];
    let scan = look(&home, &table);
    assert_eq!(paths(&scan), ["etc/client.keys", "etc/shared/a/agent.conf"]);
    assert_eq!(scan.manifest.entries()[1].digest, Digest::of(b"c"));
    assert_eq!(&*scan.manifest.entries()[1].rule, "etc/shared/");
    assert_eq!(scan.problems, []);
    assert_eq!((scan.hashed, scan.bytes_hashed), (2, 2));
}

#[test]
fn a_file_of_two_rows_belongs_to_the_first() {
    let home = tree(&[("a/x", "1"), ("a/b/y", "2")]);
    let scan = look(&home, &table(&["a/", "a/b/"]));
    let rules: Vec<&str> = scan.manifest.entries().iter().map(|entry| &*entry.rule).collect();
    assert_eq!((paths(&scan), rules), (vec!["a/b/y", "a/x"], vec!["a/", "a/"]));
    let scan = look(&home, &table(&["a/b/", "a/"]));
    assert_eq!(&*scan.manifest.get("a/b/y").unwrap().rule, "a/b/");
}

#[test]
fn files_of_one_folder_that_two_rows_share_are_remembered() {
    let home = tree(&[("a/b/1", "1"), ("a/b/2", "2"), ("a/b/3", "3"), ("a/b/c/4", "4"), ("a/d", "5")]);
    let mut table = table(&["a/b/", "a/"]);
    table.rules[0].names = Some(vec!["2".to_owned()]);
    table.rules[0].recursive = false;
    let first = look(&home, &table);
    assert_eq!(paths(&first), ["a/b/1", "a/b/2", "a/b/3", "a/b/c/4", "a/d"]);
    assert_eq!(&*first.manifest.get("a/b/2").unwrap().rule, "a/b/");
    let second = look(&home, &table);
    assert_eq!((second.hashed, second.manifest), (0, first.manifest));
}

#[test]
fn every_size_and_shape_of_tree_gets_the_digests_of_its_contents() {
    let home = TempDir::new().unwrap();
    let content =
        |i: usize, size: usize| (0..size).map(|at| u8::try_from((at * 31 + i) % 251).unwrap()).collect::<Vec<u8>>();
    let sizes = [0, 1, 127, 128, 129, 4096, 300_000, 1 << 19, (1 << 19) + 1, 3_000_000];
    let files: Vec<(String, Vec<u8>)> = (0..1500)
        .map(|i| {
            let size = sizes.get(i).copied().unwrap_or(i * 7 % 3000);
            (format!("a/{}{i}", ["", "b!/", "b/", "b/c/"][i % 4]), content(i, size))
        })
        .collect();
    for (path, bytes) in &files {
        write(home.path(), path, bytes);
    }
    for threads in [1, 2, 7] {
        let scan = scan(home.path(), &table(&["a/"]), ScanOptions { threads, rehash: true, ..ScanOptions::default() })
            .unwrap();
        assert_eq!(scan.manifest.entries().len(), files.len());
        for (path, bytes) in &files {
            assert_eq!(scan.manifest.get(path).map(|entry| entry.digest), Some(Digest::of(bytes)), "{path}");
        }
        assert_eq!(scan.bytes_hashed, files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    }
}

#[test]
fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
    let home = tree(&[("a/same", "1"), ("a/b/size", "2"), ("a/b/content", "3"), ("a/gone", "4")]);
    let table = table(&["a/"]);
    assert_eq!(look(&home, &table).hashed, 4);
    assert_eq!(look(&home, &table).hashed, 0);
    write(home.path(), "a/b/size", b"22");
    write(home.path(), "a/b/content", b"x");
    write(home.path(), "a/new", b"n");
    fs::remove_file(home.path().join("a/gone")).unwrap();
    let second = look(&home, &table);
    assert_eq!((second.hashed, second.bytes_hashed), (3, 4));
    assert_eq!(paths(&second), ["a/b/content", "a/b/size", "a/new", "a/same"]);
    assert_eq!(second.manifest.get("a/b/content").unwrap().digest, Digest::of(b"x"));
    let third = look(&home, &table);
    assert_eq!((third.hashed, third.manifest.root()), (0, second.manifest.root()));
    assert_eq!(third.manifest, second.manifest);
}

#[test]
fn a_few_small_changes_in_a_large_tree_are_read_again_rather_than_written_down() {
    let files: Vec<_> = (0..1_100).map(|n| (format!("etc/{n}"), format!("{n}"))).collect();
    let home = tree(&files.iter().map(|(path, content)| (&**path, &**content)).collect::<Vec<_>>());
    std::thread::sleep(SETTLE);
    let table = table(&["etc/"]);
    look(&home, &table);
    let index = fs::read(home.path().join(".outrider/index")).unwrap();
    write(home.path(), "etc/7", b"changed");
    for _ in 0..2 {
        assert_eq!(look(&home, &table).hashed, 1);
    }
    assert!(index == fs::read(home.path().join(".outrider/index")).unwrap(), "all of it was written for one file");
    for number in 0..100 {
        write(home.path(), &format!("etc/{number}"), b"changed");
    }
    assert_eq!(look(&home, &table).hashed, 100);
    assert_eq!(look(&home, &table).hashed, 0);
}

#[test]
fn threat_35_equal_size_and_mtime_do_not_hide_a_change_and_a_rehash_reads_everything() {
    let home = tree(&[("a/x", "1"), ("a/y", "2")]);
    let table = table(&["a/"]);
    look(&home, &table);
    let path = home.path().join("a/x");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "3").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert_eq!(look(&home, &table).manifest.get("a/x").unwrap().digest, Digest::of(b"3"));
    assert_eq!(scan(home.path(), &table, ScanOptions { rehash: true, ..ScanOptions::default() }).unwrap().hashed, 2);
}

#[test]
fn threat_35_a_change_within_the_clocks_tick_is_found() {
    let table = table(&["a/"]);
    for round in 0u8..50 {
        let home = tree(&[("a/x", "old")]);
        look(&home, &table);
        // In place, same length, at once: inode, size and most likely both times stay as they were.
        fs::write(home.path().join("a/x"), [b'n', b'e', round]).unwrap();
        assert_eq!(look(&home, &table).manifest.get("a/x").unwrap().digest, Digest::of(&[b'n', b'e', round]));
    }
}

#[test]
fn threat_40_a_damaged_index_is_no_index() {
    let home = tree(&[("a/x", "1"), ("a/b/y", "2")]);
    let table = table(&["a/"]);
    let root = look(&home, &table).manifest.root();
    let index = home.path().join(".outrider/index");
    let good = fs::read(&index).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [&flipped[..], &good[..good.len() - 1], &[], b"something else", &[good.clone(), vec![0]].concat()] {
        fs::write(&index, bad).unwrap();
        let scan = look(&home, &table);
        assert_eq!((scan.hashed, scan.manifest.root()), (2, root));
        assert_eq!(fs::read(&index).unwrap(), good, "the next scan has a good one again");
    }
}

#[test]
fn threat_26_what_is_no_ordinary_file_is_left_out_and_reported() {
    let home = tree(&[("a/file", "1"), ("secret", "s"), ("outside/x", "x")]);
    let at = |path: &str| home.path().join(path);
    symlink("../secret", at("a/link")).unwrap();
    symlink("../outside", at("a/linked")).unwrap();
    symlink("nowhere", at("a/dangling")).unwrap();
    fs::hard_link(at("secret"), at("a/hard")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("a/fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = UnixListener::bind(at("a/socket")).unwrap();
    symlink("a", at("b")).unwrap();
    let scan = look(&home, &table(&["a/", "b/"]));
    assert_eq!(paths(&scan), ["a/file"]);
    assert_eq!(problems(&scan), ["a/dangling", "a/fifo", "a/hard", "a/link", "a/linked", "a/socket", "b"]);
    assert!(scan.problems[2].why.contains("2 hard links"), "{}", scan.problems[2].why);
}

#[test]
fn threat_26_a_device_is_left_out_and_reported() {
    use rustix::fs::{CWD, FileType, makedev, mknodat};
    let home = tree(&[("a/file", "1")]);
    for (name, kind, device) in
        [("a/null", FileType::CharacterDevice, makedev(1, 3)), ("a/loop", FileType::BlockDevice, makedev(7, 0))]
    {
        if let Err(error) = mknodat(CWD, home.path().join(name), kind, 0o600.into(), device) {
            println!("not tried: making a device needs root ({error})");
            return;
        }
    }
    let scan = look(&home, &table(&["a/"]));
    assert_eq!(paths(&scan), ["a/file"]);
    assert_eq!(problems(&scan), ["a/loop", "a/null"]);
}

#[test]
fn threat_26_the_profile_follows_links_that_stay_inside() {
    let home = tree(&[("a/deep/file", "1"), ("secret", "s")]);
    let at = |path: &str| home.path().join(path);
    symlink("deep/file", at("a/link")).unwrap();
    symlink("../secret", at("a/out")).unwrap();
    symlink("/etc/passwd", at("a/absolute")).unwrap();
    symlink("deep", at("a/folder")).unwrap();
    let table = FilesTable { follow_links: true, ..table(&["a/"]) };
    for _ in 0..2 {
        let scan = look(&home, &table);
        assert_eq!(paths(&scan), ["a/deep/file", "a/link"]);
        assert_eq!(scan.manifest.get("a/link").unwrap().digest, Digest::of(b"1"));
        assert_eq!(problems(&scan), ["a/absolute", "a/folder", "a/out"]);
    }
}

#[test]
fn threat_24_names_that_cannot_travel_and_twins_are_left_out_and_reported() {
    use std::os::unix::ffi::OsStrExt;
    let home = tree(&[
        ("a/readme", "1"),
        ("a/README", "2"),
        ("a/e\u{301}", "3"),
        ("a/\u{e9}", "4"),
        ("a/B/x", "5"),
        ("a/b/x", "6"),
        ("a/b/y", "7"),
        ("a/back\\slash", "8"),
    ]);
    fs::write(home.path().join("a").join(std::ffi::OsStr::from_bytes(b"\xff")), "9").unwrap();
    let scan = look(&home, &table(&["a/"]));
    assert_eq!(paths(&scan), ["a/B/x", "a/README", "a/b/y", "a/e\u{301}"]);
    assert_eq!(problems(&scan), ["a/b/x", "a/back\\slash", "a/readme", "a/\u{e9}", "a/\u{fffd}"]);
}

#[test]
fn an_unreadable_folder_or_home_is_told_apart_from_an_empty_one() {
    let home = tree(&[("a/file", "1")]);
    let missing = home.path().join("missing");
    assert!(scan(&missing, &table(&["a/"]), ScanOptions::default()).unwrap_err().to_string().contains("missing"));
    assert_eq!(problems(&look(&home, &table(&["a/file/"]))), ["a/file"]);
    assert_eq!(problems(&look(&home, &table(&["absent/"]))), [""; 0]);
    if rustix::process::geteuid().is_root() {
        return; // root reads everything
    }
    fs::set_permissions(home.path().join("a/file"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(problems(&look(&home, &table(&["a/"]))), ["a/file"]);
}

#[test]
fn threat_36_what_a_scan_says_of_a_file_that_is_overwritten_was_there_at_one_moment() {
    use std::os::unix::fs::FileExt;
    const PARTS: usize = 16;
    const PART: usize = 128 << 10;
    let home = tree(&[]);
    write(home.path(), "a/x", &vec![0; PARTS * PART]);
    let file = File::options().write(true).open(home.path().join("a/x")).unwrap();
    // Versions follow one another in place, part by part: these are all states that there ever are.
    let mixed =
        |version: u8, parts: usize| [vec![version; parts * PART], vec![(version + 7) % 8; (PARTS - parts) * PART]];
    let states: Vec<_> =
        (0..8).flat_map(|version| (0..PARTS).map(move |parts| Digest::of(&mixed(version, parts).concat()))).collect();
    let (stop, mut seen, mut torn) = (AtomicBool::new(false), 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for version in (1..8).chain(0..1).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                for part in 0..PARTS {
                    file.write_all_at(&vec![version; PART], (part * PART) as u64).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_millis(u64::from(version) * 5));
            }
        });
        for _ in 0..200 {
            let scan = look(&home, &table(&["a/"]));
            for entry in scan.manifest.entries() {
                seen += 1;
                torn += usize::from(!states.contains(&entry.digest));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen > 0, "it rests now and then");
    assert_eq!(torn, 0, "of {seen}: mixtures of what was there at several moments");
}

#[test]
fn threat_36_a_file_that_changes_all_the_time_is_read_or_reported_and_never_remembered_wrong() {
    let home = tree(&[]);
    let size = 400_000;
    write(home.path(), "a/x", &vec![0; size]);
    let path = home.path().join("a/x");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in (0..=u8::MAX).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                fs::write(&path, vec![round; size]).unwrap();
            }
        });
        for _ in 0..10 {
            let scan = look(&home, &table(&["a/"]));
            assert_eq!(paths(&scan).len() + problems(&scan).len(), 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let last = look(&home, &table(&["a/"]));
    assert_eq!(last.manifest.get("a/x").unwrap().digest, Digest::of(&fs::read(&path).unwrap()));
}

#[test]
fn whoever_watches_a_scan_sees_every_file_and_byte_and_how_many_there_were() {
    let large = "x".repeat(700_000);
    let home = tree(&[("a/one", "1"), ("a/b/two", "22"), ("a/b/large", &large)]);
    let table = table(&["a/"]);
    let watched = |rehash| {
        let progress = ScanProgress::default();
        let options = ScanOptions { threads: 2, rehash, progress: Some(&progress), ..ScanOptions::default() };
        scan(home.path(), &table, options).unwrap();
        (progress.files(), progress.bytes(), progress.expected())
    };
    assert_eq!(watched(false), (3, 700_003, 0));
    write(home.path(), "a/three", b"333");
    assert_eq!(watched(false), (4, 3, 3));
    assert_eq!(watched(true), (4, 700_006, 0));
}

#[test]
fn a_scan_that_is_ended_fails_and_leaves_the_index_as_it_was() {
    let home = tree(&[("a/one", "1"), ("a/b/two", "2")]);
    let table = table(&["a/"]);
    look(&home, &table);
    write(home.path(), "a/three", b"3");
    let index = fs::read(home.path().join(".outrider/index")).unwrap();
    let progress = ScanProgress::default();
    progress.stop();
    let ended = scan(home.path(), &table, ScanOptions { progress: Some(&progress), ..ScanOptions::default() });
    assert!(matches!(ended, Err(Error::Stopped)));
    assert_eq!((progress.files(), progress.bytes()), (0, 0));
    assert_eq!(fs::read(home.path().join(".outrider/index")).unwrap(), index);
    assert_eq!(look(&home, &table).hashed, 1);
}

#[test]
fn a_large_file_does_not_hold_up_the_end_of_a_scan() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("a")).unwrap();
    // A hole: as many bytes to read as a person would never wait for.
    File::create(home.path().join("a/hole")).unwrap().set_len(1 << 40).unwrap();
    let progress = ScanProgress::default();
    std::thread::scope(|scope| {
        let options = ScanOptions { progress: Some(&progress), ..ScanOptions::default() };
        let ended = scope.spawn(move || scan(home.path(), &table(&["a/"]), options));
        while progress.bytes() == 0 {
            std::thread::yield_now();
        }
        progress.stop();
        assert!(matches!(ended.join().unwrap(), Err(Error::Stopped)));
    });
}
