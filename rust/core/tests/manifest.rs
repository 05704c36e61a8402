//! Manifests, plans and their JSON against what real peers wrote, and against themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrider_core::{Digest, Entry, FileRule, FilesTable, Manifest, Plan, RelPath, diff, keep_unseen};
use proptest::prelude::*;
use serde_json::Value;

const COMPARE: &str = include_str!("../../../tests/vectors/compare-1.json");
const INTEGRITY: &str = include_str!("../../../tests/vectors/integrity-1.json");

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn wire(plan: &Plan) -> String {
    let mut out = Vec::new();
    plan.write_wire(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn own(manifest: &Manifest) -> String {
    let mut out = Vec::new();
    manifest.write_wire(&mut out, "/home").unwrap();
    String::from_utf8(out).unwrap()
}

fn entry(path: &str, rule: &str, content: &[u8]) -> Entry {
    Entry {
        path: RelPath::new(path).unwrap(),
        digest: Digest::of(content),
        mod_time: 1_700_000_000.25,
        rule: rule.into(),
    }
}

#[test]
fn the_recorded_comparison_is_our_comparison() {
    let recorded = json(COMPARE);
    let master = Manifest::read_wire(INTEGRITY.as_bytes()).unwrap();
    let worker = Manifest::read_wire(recorded["worker"].to_string().as_bytes()).unwrap();
    let plan = diff(&master, &worker, &FilesTable::default());
    assert_eq!(json(&wire(&plan)), recorded["result"], "groups, entries and values, in any order");
}

#[test]
fn the_recorded_metadata_is_read_and_written_without_loss() {
    let manifest = Manifest::read_wire(INTEGRITY.as_bytes()).unwrap();
    assert_eq!(json(&own(&manifest)), json(INTEGRITY));
    assert_eq!(manifest.entries().len(), 30);
}

#[test]
fn the_plan_of_specification_8_6_is_written_to_the_byte() {
    let plan = Plan {
        missing: vec![entry("etc/rules/a.xml", "etc/rules/", b"<group/>\n")],
        shared: vec![entry("etc/lists/b", "etc/lists/", b"k:v\n")],
        extra: vec![],
    };
    let rules = "c017c14f44393267b88ea70fb9e2a58929ea8ae0eecfba17d75a9d309fba61ef\
                 d7acc07ef19b39c45e080eba288a07a46bd78a7d54607765679d8f13bc7e9333";
    let lists = "9d81cbad79f79c22dceb0c1fa02f19c2354f5acd35d70c9bd070eb964be297b3\
                 802996248cb23941688895135fb4f418ed12445d7354be23b897b00157e5c63b";
    let expected = format!(
        "{{\"missing\": {{\"etc/rules/a.xml\": {{\"mod_time\": 1700000000.25, \"cluster_item_key\": \"etc/rules/\", \
         \"merged\": false, \"hash\": \"{rules}\"}}}}, \"extra\": {{}}, \"shared\": {{\"etc/lists/b\": {{\"mod_time\": \
         1700000000.25, \"cluster_item_key\": \"etc/lists/\", \"merged\": false, \"hash\": \"{lists}\"}}}}}}"
    );
    assert_eq!(wire(&plan), expected);
}

#[test]
fn threat_36_what_the_source_could_not_look_at_is_not_deleted() {
    let theirs = ["a/b", "a/c", "a/c.d/e", "a/d/e/f"].map(|path| entry(path, "a/", b""));
    let plan = diff(&Manifest::default(), &theirs.to_vec().into(), &FilesTable::default());
    assert_eq!(plan.extra.len(), 4);
    let plan = keep_unseen(plan, &["a/c".to_owned(), "a/d".to_owned()]);
    assert_eq!(plan.extra.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["a/b", "a/c.d/e"]);
}

#[test]
fn extra_files_of_an_extra_valid_rule_are_kept() {
    let table = |extra_valid| FilesTable {
        rules: vec![FileRule {
            folder: "a/".into(),
            names: None,
            recursive: true,
            permissions: 0o660,
            remove_subdirs_if_empty: false,
            extra_valid,
        }],
        ..FilesTable::default()
    };
    let theirs = Manifest::from(vec![entry("a/b", "a/", b"")]);
    assert_eq!(diff(&Manifest::default(), &theirs, &table(false)).extra.len(), 1);
    assert!(diff(&Manifest::default(), &theirs, &table(true)).is_empty());
}

/// Trees over a small alphabet, so that two of them often share paths and contents.
fn trees() -> impl Strategy<Value = Manifest> {
    let rule: Arc<str> = "é/".into();
    let files = proptest::collection::btree_map("[abé\u{1f600}\"]{1,2}(/[ab\n]){0,2}", (0u8..3, -1e12..1e12), 0..12);
    files.prop_map(move |files: BTreeMap<String, (u8, f64)>| {
        let entry = |(path, (content, mod_time)): (String, (u8, f64))| Entry {
            path: RelPath::new(&path).unwrap(),
            digest: Digest::of(&[content]),
            mod_time,
            rule: Arc::clone(&rule),
        };
        files.into_iter().map(entry).collect::<Vec<_>>().into()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(tree in trees(), other in trees()) {
        prop_assert_eq!(&Manifest::read_wire(own(&tree).as_bytes()).unwrap(), &tree);
        let plan = diff(&tree, &other, &FilesTable::default());
        prop_assert_eq!(Plan::read_wire(wire(&plan).as_bytes()).unwrap(), plan);
    }

    #[test]
    fn a_plan_makes_the_target_equal_to_the_source(source in trees(), target in trees()) {
        let plan = diff(&source, &target, &FilesTable::default());
        let mut files: BTreeMap<&str, &Entry> = target.entries().iter().map(|e| (e.path.as_str(), e)).collect();
        for entry in &plan.extra {
            prop_assert!(files.remove(entry.path.as_str()).is_some());
        }
        for entry in &plan.missing {
            prop_assert!(files.insert(entry.path.as_str(), entry).is_none());
        }
        for entry in &plan.shared {
            prop_assert!(files.insert(entry.path.as_str(), entry).is_some());
        }
        let made = Manifest::from(files.into_values().cloned().collect::<Vec<_>>());
        prop_assert_eq!(made.root(), source.root());
        prop_assert_eq!(plan.is_empty(), source.root() == target.root());
    }

    #[test]
    fn threat_06_bytes_in_any_state_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..4000, bit in 0u8..8,
    ) {
        let _ = Manifest::read_wire(bytes.as_slice());
        let mut flipped = INTEGRITY.as_bytes().to_vec();
        flipped[at] ^= 1 << bit;
        let _ = Manifest::read_wire(flipped.as_slice());
        prop_assert!(Manifest::read_wire(&INTEGRITY.as_bytes()[..at]).is_err());
    }
}
