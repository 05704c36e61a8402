//! The native form of a manifest: what is written is read again, and nothing else is.

use std::collections::BTreeMap;
use std::io::Write;

use outrider_core::{Digest, Entry, Error, Manifest, RelPath, ShortDigest, ShortManifest};
use proptest::prelude::*;

const BUDGET: u64 = 1 << 20;

fn whole(manifest: &Manifest) -> Vec<u8> {
    let mut out = Vec::new();
    manifest.write_native(&mut out).unwrap();
    out
}

fn short(manifest: &Manifest) -> Vec<u8> {
    let mut out = Vec::new();
    manifest.write_native_short(&mut out).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Manifest, Error> {
    Manifest::read_native(bytes, BUDGET)
}

fn tree(paths: &[&str]) -> Manifest {
    let entry = |path: &&str| Entry {
        path: RelPath::new(path).unwrap(),
        digest: Digest::of(path.as_bytes()),
        mod_time: 1_700_000_000.25,
        rule: "etc/".into(),
    };
    paths.iter().map(entry).collect::<Vec<_>>().into()
}

/// The native form by hand: one rule, then for each path how much it shares, how long it goes on, and its end.
fn forged(paths: &[(u64, &[u8])], rule: u64) -> Vec<u8> {
    let mut text = b"OMN1\x40\x01\x04etc/".to_vec();
    varint(paths.len() as u64, &mut text);
    for (shared, suffix) in paths {
        varint(*shared, &mut text);
        varint(suffix.len() as u64, &mut text);
        text.extend_from_slice(suffix);
        varint(rule, &mut text);
    }
    text.extend(vec![0; paths.len() * 72]);
    packed(&text)
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

fn packed(text: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(text, 3).unwrap()
}

#[test]
fn paths_shrink_and_digests_cost_what_they_are() {
    let paths: Vec<String> = (0..10_000).map(|at| format!("etc/rules/group_{:03}/rule_{at:05}.xml", at / 40)).collect();
    let tree = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let (whole, short) = (whole(&tree).len(), short(&tree).len());
    assert!(whole < 10_000 * 64 + 30_000, "{whole} bytes");
    assert!(short < 10_000 * 16 + 30_000, "{short} bytes");
}

#[test]
fn a_short_manifest_tells_which_files_differ() {
    let (ours, theirs) = (tree(&["etc/a", "etc/b"]), tree(&["etc/a", "etc/b"]));
    let reported = ShortManifest::read_native(short(&theirs).as_slice(), BUDGET).unwrap();
    assert!(reported.matches(&ours));
    assert!(!reported.matches(&tree(&["etc/a", "etc/c"])));
    assert!(!reported.matches(&tree(&["etc/a"])));
    let entry = reported.get("etc/b").unwrap();
    assert_eq!(entry.digest, ShortDigest::from(&Digest::of(b"etc/b")));
    assert!(entry.matches(ours.get("etc/b").unwrap()) && !entry.matches(ours.get("etc/a").unwrap()));
    assert!(reported.get("etc/c").is_none());
}

#[test]
fn the_two_widths_are_not_taken_for_one_another() {
    let tree = tree(&["etc/a"]);
    assert!(read(&short(&tree)).unwrap_err().to_string().contains("have 16 bytes, not 64"));
    assert!(ShortManifest::read_native(whole(&tree).as_slice(), BUDGET).is_err());
}

#[test]
fn threat_24_a_name_that_leads_outside_is_refused() {
    assert!(read(&forged(&[(0, b"etc/a"), (4, b"b")], 0)).is_ok());
    for bad in [b"../x".as_slice(), b"/etc/x", b"etc/../../x", b"etc//x", b"a\\b", b"a\0b", b"", b"\xff"] {
        assert!(read(&forged(&[(0, bad)], 0)).is_err(), "{bad:?} was read");
    }
    assert!(matches!(read(&forged(&[(0, b"etc/.x"), (4, b"../x")], 0)), Err(Error::BadPath { .. })));
}

#[test]
fn threat_07_counts_and_lengths_that_lie_are_refused() {
    let refused = |bytes: &[u8], why: &str| {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(&forged(&[(0, b"etc/b"), (0, b"etc/a")], 0), "out of order");
    refused(&forged(&[(0, b"etc/b"), (5, b"")], 0), "out of order");
    refused(&forged(&[(0, b"etc/b"), (6, b"")], 0), "shares more");
    refused(&forged(&[(0, b"etc/b")], 1), "not in its table");
    refused(&packed(b"OMN1\x40\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "cut short");
    refused(&packed(b"OMN1\x40\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "more than 64 bits");
    refused(&packed(b"OMN1\x40\xff\xff\xff\x7f"), "65,536 rules");
    refused(&packed(b"OMN1\x40\x01\xff\x7f"), "a rule is longer");
    refused(&packed(b"OMN1\x40\x00\x01\x00\xff\x7f"), "longer than 4,096");
    refused(&packed(b"OMN2\x40\x00\x00"), "a format");
    refused(&packed(b"OMN1\x40\x00\x00\x00"), "bytes follow");
    let mut endless = forged(&[], 0);
    endless.extend(packed(b"more"));
    refused(&endless, "bytes follow");
}

#[test]
fn threat_27_a_bomb_stops_at_the_budget() {
    // Each path takes 4 bytes here and 4,000 in memory.
    let long = [[b'x'; 200].as_slice(); 19].join(&b'/');
    let ends: Vec<Vec<u8>> = (1000u32..3000).map(|at| format!("/{at}").into_bytes()).collect();
    let first = [long.as_slice(), b"/0"].concat();
    let mut paths: Vec<(u64, &[u8])> = vec![(0, &first)];
    paths.extend(ends.iter().map(|end| (long.len() as u64, end.as_slice())));
    let bomb = forged(&paths, 0);
    assert!(bomb.len() < 20_000, "{} bytes", bomb.len());
    assert!(matches!(read(&bomb), Err(Error::Limit { limit: BUDGET, .. })));
    assert!(Manifest::read_native(bomb.as_slice(), 16 << 20).is_ok());
    // A window of 128 MiB would be allocated for the asking.
    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    wide.window_log(27).unwrap();
    wide.write_all(b"OMN1\x40\x00\x00").unwrap();
    assert!(read(&wide.finish().unwrap()).is_err());
}

fn trees() -> impl Strategy<Value = Manifest> {
    let file = (any::<u8>(), -1e12..1e12, 0usize..3);
    let files = proptest::collection::btree_map("[abé\u{1f600}]{1,3}(/[ab\n]{1,2}){0,3}", file, 0..24);
    files.prop_map(|files: BTreeMap<String, (u8, f64, usize)>| {
        let entry = |(path, (content, mod_time, rule)): (String, (u8, f64, usize))| Entry {
            path: RelPath::new(&path).unwrap(),
            digest: Digest::of(&[content]),
            mod_time,
            rule: ["é/", "etc/rules/", "etc/"][rule].into(),
        };
        files.into_iter().map(entry).collect::<Vec<_>>().into()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(tree in trees()) {
        prop_assert_eq!(&read(&whole(&tree)).unwrap(), &tree);
        let reported = ShortManifest::read_native(short(&tree).as_slice(), BUDGET).unwrap();
        prop_assert!(reported.matches(&tree));
        prop_assert_eq!(reported, ShortManifest::from(&tree));
    }

    #[test]
    fn threat_06_a_cut_or_changed_form_is_refused_or_is_another_manifest(
        tree in trees(), at in any::<prop::sample::Index>(), bit in 0u8..8, noise in prop::collection::vec(any::<u8>(), 0..99),
    ) {
        let bytes = whole(&tree);
        let at = at.index(bytes.len());
        prop_assert!(read(&bytes[..at]).is_err());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        if let Ok(other) = read(&flipped) {
            prop_assert!(other.entries().is_sorted_by(|a, b| a.path < b.path));
        }
        let _ = read(&noise);
        let _ = read(&packed(&[b"OMN1\x40".as_slice(), &noise].concat()));
        let _ = ShortManifest::read_native(packed(&[b"OMN1\x10".as_slice(), &noise].concat()).as_slice(), BUDGET);
    }
}
