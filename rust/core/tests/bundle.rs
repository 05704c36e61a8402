//! Bundles: for any two trees they bring the one to the other exactly, or change nothing.

mod bundles;

use std::fs;

use bundles::{Node, Pair, kept_space, pack, read, table, tree, write};
use outrider_core::{BundleFeed, Error, Manifest, ScanOptions, Signatures, Step, scan};
use proptest::prelude::*;

#[test]
fn a_bundle_brings_every_kind_of_change() {
    let old = tree(&[
        ("etc/rules/changed", "one line\nanother line\n".repeat(50)),
        ("etc/rules/gone", "gone".into()),
        ("etc/rules/moved", "the content of a file that moves".repeat(9)),
        ("etc/rules/same", "same".into()),
        ("etc/shared/a/b/gone", "gone".into()),
        ("etc/shared/replaced", "aaaaaaaa".repeat(40)),
    ]);
    let new = tree(&[
        ("etc/rules/changed", "one line\nanother line\n".repeat(50) + "a last line\n"),
        ("etc/rules/empty", String::new()),
        ("etc/rules/same", "same".into()),
        ("etc/shared/copy", "the content of a file that moves".repeat(9)),
        ("etc/shared/new/deep", "entirely new".into()),
        ("etc/shared/replaced", "completely different words, of which nothing was there before".into()),
    ]);
    let pair = Pair::new(&old, &new);
    let text = pair.step().to_string();
    assert!(text.starts_with("2 new, 2 patched, 1 copied, 3 deleted\n"), "{text}");
    assert!(text.contains("= etc/shared/copy from etc/rules/moved"), "{text}");
    let applied = pair.worker.apply(&pair.known(), &pair.from, pair.to.root()).unwrap();
    assert_eq!(read(&pair.worker.home), new);
    assert_eq!((applied.written, applied.deleted, applied.folders_removed), (5, 3, 1));
    assert_eq!(applied.plan.missing.len(), 3);
    assert_eq!(applied.manifest.unwrap().root(), pair.to.root());
    // What was applied is in the index: the next look reads nothing, and finds what the bundle promised.
    let looked = scan(&pair.worker.home, &table(), ScanOptions::default()).unwrap();
    assert_eq!((looked.hashed, looked.manifest.root()), (1, pair.to.root()), "only the file that was there before");
}

#[test]
fn a_small_edit_is_a_small_bundle() {
    let text = |word: &str| {
        (0..200).map(|at| format!("<rule id=\"{at}\">{word}{}</rule>\n", at * at)).collect::<Vec<_>>().concat()
    };
    let old = tree(&[("etc/rules/local_rules.xml", text("match"))]);
    let new = tree(&[("etc/rules/local_rules.xml", text("match").replace("1225", "a new value"))]);
    let pair = Pair::new(&old, &new);
    let bundle = pair.known();
    assert!(bundle.len() <= 300, "{}", bundle.len());
    pair.worker.apply(&bundle, &pair.from, pair.to.root()).unwrap();
    assert_eq!(read(&pair.worker.home), new);
}

#[test]
fn what_only_the_base_has_stays_where_its_rule_says_so() {
    let old = tree(&[("etc/rules/a", "1".into()), ("var/extra/own", "own".into()), ("etc/rules/hidden/x", "x".into())]);
    let new = tree(&[("etc/rules/a", "2".into())]);
    let pair = Pair::new(&old, &new);
    let step = Step::new(&pair.from, &pair.to, &table(), &["etc/rules/hidden".to_owned()]);
    assert_eq!((step.counts().kept, step.counts().deleted), (2, 0));
    let applied = pair.worker.apply(&pair.pack(&step), &pair.from, pair.to.root()).unwrap();
    let kept =
        tree(&[("etc/rules/a", "2".into()), ("var/extra/own", "own".into()), ("etc/rules/hidden/x", "x".into())]);
    assert_eq!(read(&pair.worker.home), kept);
    let seen = tree(&[("etc/rules/a", "2".into()), ("etc/rules/hidden/x", "x".into())]);
    let manifest = applied.manifest.unwrap();
    assert_eq!(manifest.root(), Manifest::from(bundles::entries(&seen)).root(), "none of the node's own");
    let scanned = Manifest::from(bundles::entries(&kept));
    assert_eq!(scanned.without_own(&table(), &manifest).root(), manifest.root());
}

#[test]
fn a_base_that_drifted_is_named_and_nothing_changes() {
    let old = tree(&[("etc/rules/a", "line\n".repeat(300)), ("etc/rules/b", "other\n".repeat(300))]);
    let new = tree(&[("etc/rules/a", "line\n".repeat(299) + "end"), ("etc/rules/b", "other\n".repeat(299) + "end")]);
    let pair = Pair::new(&old, &new);
    for drift in ["another content", ""] {
        write(&pair.worker.home, &tree(&[("etc/rules/b", drift.into())]));
        let error = pair.worker.refuse(&pair.known(), &pair.from, pair.to.root());
        assert!(matches!(&error, Error::Drifted { path } if path == "etc/rules/b"), "{error}");
    }
    fs::remove_file(pair.worker.home.join("etc/rules/b")).unwrap();
    let error = pair.worker.refuse(&pair.known(), &pair.from, pair.to.root());
    assert!(matches!(&error, Error::Drifted { path } if path == "etc/rules/b"), "{error}");
}

#[test]
fn a_file_that_changes_before_it_is_packed_ends_the_bundle() {
    let old = tree(&[("etc/rules/a", "1".into()), ("etc/rules/b", "old\n".repeat(99))]);
    let new = tree(&[("etc/rules/b", "new\n".repeat(99)), ("etc/rules/c", "new".into())]);
    for (path, content) in
        [("etc/rules/b", "niw\n".repeat(99)), ("etc/rules/c", "now".into()), ("etc/rules/c", "longer".into())]
    {
        let pair = Pair::new(&old, &new);
        write(&pair.new, &tree(&[(path, content)]));
        let mut packer = pair.packer(&pair.step());
        let error = loop {
            match packer.read(1000) {
                Ok(part) => assert!(!part.is_empty(), "it was packed"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, Error::Conflict { path: named, .. } if named == path), "{error}");
    }
    let pair = Pair::new(&old, &new);
    fs::remove_file(pair.new.join("etc/rules/c")).unwrap();
    assert!(matches!(pair.try_packer(&pair.step()).err(), Some(Error::Conflict { .. })));
}

#[test]
fn threat_40_an_old_version_that_is_damaged_is_done_without() {
    let old = tree(&[("etc/rules/a", "line of some length\n".repeat(300))]);
    let new = tree(&[("etc/rules/a", "line of some length\n".repeat(299) + "end")]);
    let pair = Pair::new(&old, &new);
    let damaged = "line of SOME length\n".repeat(300);
    write(&pair.old, &tree(&[("etc/rules/a", damaged)]));
    pair.worker.apply(&pair.known(), &pair.from, pair.to.root()).unwrap();
    assert_eq!(read(&pair.worker.home), new);
}

#[test]
fn a_transfer_that_ends_early_changes_nothing_and_says_why() {
    let pair = Pair::new(&tree(&[("etc/rules/a", "1".into())]), &tree(&[("etc/rules/a", "2".into())]));
    let feed = BundleFeed::new(1 << 16);
    assert!(feed.write(&pair.known()[..50]));
    feed.fail("the connection ended");
    let error = pair.worker.applier().apply_bundle(feed.reader(), &pair.from, pair.to.root(), None).unwrap_err();
    assert!(error.to_string().contains("the connection ended"), "{error}");
    assert_eq!(read(&pair.worker.home), tree(&[("etc/rules/a", "1".into())]));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused_or_harmless() {
    let old = tree(&[
        ("etc/rules/a", "line\n".repeat(60)),
        ("etc/rules/m", "moved ".repeat(20)),
        ("etc/rules/x", "x".into()),
    ]);
    let new = tree(&[
        ("etc/rules/a", "line\n".repeat(59) + "end"),
        ("etc/rules/n", "moved ".repeat(20)),
        ("etc/rules/new", "new".into()),
    ]);
    let pair = Pair::new(&old, &new);
    let bundle = pair.known();
    for end in 0..bundle.len() {
        pair.worker.refuse(&bundle[..end], &pair.from, pair.to.root());
    }
    pair.worker.refuse(&[bundle.as_slice(), b"x"].concat(), &pair.from, pair.to.root());
    for bit in 0..bundle.len() * 8 {
        let mut flipped = bundle.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let worker = &pair.worker;
        if worker.apply(&flipped, &pair.from, pair.to.root()).is_ok() {
            // zstd leaves bits of a frame without a meaning; what comes out is right all the same.
            assert_eq!(read(&worker.home), new, "bit {bit}");
            worker.reset(&old);
        } else {
            assert_eq!(read(&worker.home), old, "bit {bit}");
            assert_eq!(kept_space(&worker.home), 0);
        }
    }
}

#[test]
fn a_large_file_is_patched_and_a_larger_one_by_segments() {
    let mut old = bundles::noise(1, 70 << 20);
    let node = Node::new(&tree(&[]));
    let path = "etc/rules/large";
    let home = |name: &str, content: &[u8]| {
        let home = node.folder.path().join(name);
        fs::create_dir_all(home.join("etc/rules")).unwrap();
        fs::write(home.join(path), content).unwrap();
        home
    };
    let (was, worker) = (home("old", &old), home("worker", &old));
    let from = scan(&was, &table(), ScanOptions::default()).unwrap().manifest;
    old.splice(1000..1000, b"inserted".iter().copied());
    let at = 60 << 20;
    old[at..at + 100].fill(b'x');
    let is = home("new", &old);
    let to = scan(&is, &table(), ScanOptions::default()).unwrap().manifest;
    let bundle = pack(&Step::new(&from, &to, &table(), &[]), &was, &is);
    assert!(bundle.len() < 40_000, "{}", bundle.len());
    let worker = Node { home: worker, folder: node.folder, budget: node.budget };
    worker.apply(&bundle, &from, to.root()).unwrap();
    assert!(fs::read(worker.home.join(path)).unwrap() == old);
}

#[test]
fn an_unknown_base_is_rebuilt_out_of_its_chunks() {
    let mut content = bundles::noise(3, 2 << 20);
    let node = Node::new(&tree(&[]));
    let home = |name: &str, content: &[u8]| {
        let home = node.folder.path().join(name);
        fs::create_dir_all(home.join("etc/rules")).unwrap();
        fs::write(home.join("etc/rules/large"), content).unwrap();
        home
    };
    let worker = home("worker", &content);
    let from = scan(&worker, &table(), ScanOptions::default()).unwrap().manifest;
    content.splice(5000..5000, b"inserted".iter().copied());
    let is = home("new", &content);
    let to = scan(&is, &table(), ScanOptions::default()).unwrap().manifest;
    let signatures = Signatures::of(&bundles::contents(&worker), from.entries()).unwrap();
    let signatures = Signatures::from_bytes(&signatures.to_bytes()).unwrap();
    let step = Step::new(&from, &to, &table(), &[]).with_signatures(signatures);
    let nothing = node.folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let bundle = pack(&step, &nothing, &is);
    assert!(bundle.len() < 80_000, "{}", bundle.len());
    let worker = Node { home: worker, folder: node.folder, budget: node.budget };
    worker.apply(&bundle, &from, to.root()).unwrap();
    assert!(fs::read(worker.home.join("etc/rules/large")).unwrap() == content);
}

fn content() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,40}",
        (0_u64..4, 0_usize..3000)
            .prop_map(|(seed, length)| "words of a line, ".repeat(length % 70) + &bundles::hex(seed, length)),
        (0_u64..4, 60_000_usize..700_000).prop_map(|(seed, length)| bundles::hex(seed, length)),
    ]
}

fn trees() -> impl Strategy<Value = bundles::Tree> {
    let path = prop_oneof!["etc/rules/[a-d]", "etc/shared/[a-c]/[x-z]", "etc/shared/f[0-9]"];
    proptest::collection::btree_map(path, content(), 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_bundle_brings_any_tree_to_any_other(old in trees(), new in trees(), known in any::<bool>(), cut in 1_usize..5000, threads in 1_usize..3) {
        let pair = Pair::new(&old, &new);
        let bundle = if known { pair.known_by(threads) } else { pair.unknown() };
        let feed = BundleFeed::new(10_000);
        let applied = std::thread::scope(|scope| {
            scope.spawn(|| {
                if bundle.chunks(cut).all(|part| feed.write(part)) {
                    feed.finish();
                }
            });
            pair.worker.applier().apply_bundle(feed.reader(), &pair.from, pair.to.root(), None)
        }).unwrap();
        prop_assert_eq!(read(&pair.worker.home), new);
        prop_assert_eq!(applied.manifest.unwrap().root(), pair.to.root());
    }
}
