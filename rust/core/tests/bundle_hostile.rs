//! Bundles that somebody made to do harm: each is refused, and the tree stays as it was.

mod bundles;

use bundles::{Node, Pair, entries, tree};
use outrider_core::{Digest, Error, Manifest};
use zstd::zstd_safe::{CCtx, CParameter, FrameFormat, compress_bound};

fn frame(plain: &[u8]) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::Format(FrameFormat::Magicless)).unwrap();
    let mut out = Vec::with_capacity(compress_bound(plain.len()));
    context.compress2(&mut out, plain).unwrap();
    out
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
    out
}

fn text(text: &str) -> Vec<u8> {
    [vec![0], varint(text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// A line of a file that arrives with this many bytes; its rule is the first.
fn line(kind: u8, path: &str, size: u64) -> Vec<u8> {
    [vec![kind], text(path), vec![0], varint(size)].concat()
}

struct Hostile {
    node: Node,
    base: Manifest,
    root: Digest,
}

impl Hostile {
    fn new() -> Self {
        let files = tree(&[("etc/rules/a", "the content of a\n".repeat(20)), ("etc/rules/b", "b".into())]);
        let base = Manifest::from(entries(&files));
        Self { node: Node::new(&files), base, root: Digest([9; 64]) }
    }

    fn bundle(&self, rule: &str, lines: &[Vec<u8>], body: &[u8]) -> Vec<u8> {
        let count = varint(lines.len() as u64);
        let roots = [self.base.root().0, self.root.0].concat();
        let header = [roots, vec![1], text(rule), count, lines.concat()].concat();
        [b"ORB1", frame(&header).as_slice(), body].concat()
    }

    fn refuse(&self, bundle: &[u8]) -> String {
        self.node.refuse(bundle, &self.base, self.root).to_string()
    }

    fn refuse_lines(&self, lines: &[Vec<u8>]) -> String {
        self.refuse(&self.bundle("etc/rules/", lines, &frame(b"x")))
    }
}

#[test]
fn what_is_crafted_here_is_a_bundle_where_it_does_no_harm() {
    let mut hostile = Hostile::new();
    let after = tree(&[
        ("etc/rules/a", "the content of a\n".repeat(20)),
        ("etc/rules/b", "b".into()),
        ("etc/rules/n", "x".into()),
    ]);
    hostile.root = Manifest::from(entries(&after)).root();
    let bundle = hostile.bundle("etc/rules/", &[line(0, "etc/rules/n", 1)], &frame(b"x"));
    hostile.node.apply(&bundle, &hostile.base, hostile.root).unwrap();
    assert_eq!(bundles::read(&hostile.node.home), after);
}

#[test]
fn threat_24_paths_that_leave_the_tree_or_its_table_are_refused() {
    let hostile = Hostile::new();
    for path in [
        "../x",
        "/etc/passwd",
        "etc/rules/../../x",
        "etc/rules/.outrider/x",
        ".outrider/index",
        "etc\\x",
        "C:/x",
        "var/x",
        "etc/rules/n\0",
    ] {
        for lines in [
            vec![line(0, path, 1)],
            vec![[vec![3], text("etc/rules/n"), vec![0], text(path)].concat()],
            vec![[vec![4], text(path)].concat()],
        ] {
            hostile.refuse_lines(&lines);
        }
    }
    let text = hostile.refuse(&hostile.bundle("etc/shared/", &[line(0, "etc/rules/n", 1)], &frame(b"x")));
    assert!(text.contains("belongs to etc/rules/"), "{text}");
    let text = hostile.refuse_lines(&[line(0, "etc/rules/N", 1), line(0, "etc/rules/n", 1)]);
    assert!(text.contains("differs only in case"), "{text}");
    let text = hostile.refuse_lines(&[line(0, "etc/rules/z", 1), line(0, "etc/rules/y", 1)]);
    assert!(text.contains("out of order"), "{text}");
    hostile.refuse_lines(&[line(0, "etc/rules/n", 1), line(0, "etc/rules/n/m", 1)]);
}

#[test]
fn threat_07_numbers_that_lie_allocate_nothing() {
    let hostile = Hostile::new();
    for size in [u64::MAX, 1 << 62, 1 << 31] {
        let text = hostile.refuse_lines(&[line(0, "etc/rules/n", size)]);
        assert!(text.contains("over the limit"), "{text}");
    }
    let roots = [hostile.base.root().0, hostile.root.0].concat();
    for numbers in [
        varint(u64::MAX),
        vec![0xff; 12],
        [vec![0], varint(u64::MAX)].concat(),
        [vec![1, 0], varint(u64::MAX)].concat(),
    ] {
        let header = [roots.clone(), numbers].concat();
        hostile.refuse(&[b"ORB1", frame(&header).as_slice()].concat());
    }
    // A frame that declares a window of 2 GiB.
    hostile.refuse(&[b"ORB1".as_slice(), &[0x00, 0xa8, 0x01, 0x00, 0x00]].concat());
}

#[test]
fn threat_27_what_unpacks_to_more_than_it_says_or_may_is_refused() {
    let mut hostile = Hostile::new();
    let zeros = frame(&vec![0; 200 << 20]);
    assert!(zeros.len() < 200_000);
    let text = hostile.refuse(&hostile.bundle("etc/rules/", &[line(0, "etc/rules/n", 1 << 10)], &zeros));
    assert!(text.contains("longer than declared"), "{text}");
    let one = hostile.bundle("etc/rules/", &[line(0, "etc/rules/n", 200 << 20)], &zeros);
    assert!(hostile.refuse(&one).contains("does not lead to the root"), "a file within its limit may be a hole");
    hostile.node.budget.file_bytes = 100 << 20;
    let two = [line(0, "etc/rules/m", 100 << 20), line(0, "etc/rules/n", 100 << 20)];
    let text = hostile.refuse(&hostile.bundle("etc/rules/", &two, &zeros));
    assert!(text.contains("over the limit") && text.contains("limits.unpacked_ratio"), "{text}");
    let text = hostile.refuse(&hostile.bundle("etc/rules/", &[line(0, "etc/rules/n", 5)], &frame(b"x")));
    assert!(text.contains("cut short"), "{text}");
    hostile.node.budget.metadata_bytes = 4 << 10;
    let long: Vec<_> = (100..999).map(|at| line(0, &format!("etc/rules/n{at}"), 1)).collect();
    let text = hostile.refuse_lines(&long);
    assert!(text.contains("the header of the bundle is over the limit of 4096 (limits.metadata_bytes)"), "{text}");
    let many: Vec<_> = (0..10).map(|at| line(0, &format!("etc/rules/n{at}"), 1 << 30)).collect();
    assert!(hostile.refuse_lines(&many).contains("over the limit"));
}

#[test]
fn threat_29_only_what_leads_to_the_promised_root_is_applied() {
    let hostile = Hostile::new();
    let text = hostile.refuse_lines(&[line(0, "etc/rules/n", 1)]);
    assert!(text.contains("does not lead to the root"), "{text}");
    // A patch without a prefix: another content for a file of the base.
    let text = hostile.refuse(&hostile.bundle("etc/rules/", &[line(1, "etc/rules/a", 3)], &frame(b"bad")));
    assert!(text.contains("does not lead to the root"), "{text}");
    let bundle = hostile.bundle("etc/rules/", &[line(0, "etc/rules/n", 1)], &frame(b"x"));
    let other = Hostile { node: hostile.node, base: hostile.base, root: Digest([8; 64]) };
    assert!(other.refuse(&bundle).contains("another root than the one that was asked for"));
    let pair = Pair::new(&tree(&[("etc/rules/a", "1".into())]), &tree(&[("etc/rules/a", "2".into())]));
    let error = pair.worker.refuse(&pair.known(), &pair.to, pair.to.root());
    assert!(matches!(&error, Error::BadData { why, .. } if why.contains("another root")), "{error}");
}

#[test]
fn threat_29_the_right_content_under_another_size_and_another_s_chunks_are_refused() {
    let line_of_a = "the content of a\n";
    let after = |a: &str, n: &str| {
        let files = tree(&[("etc/rules/a", a.into()), ("etc/rules/b", "b".into()), ("etc/rules/n", n.into())]);
        Manifest::from(entries(&files)).root()
    };
    let mut hostile = Hostile::new();
    hostile.root = after(&line_of_a.repeat(20), "x");
    for (size, why) in [(0, "longer than declared"), (2, "cut short")] {
        let text = hostile.refuse_lines(&[line(0, "etc/rules/n", size)]);
        assert!(text.contains(why), "{text}");
    }
    // A recipe: one copy of 17 bytes from somewhere in the old version of `a`; the root wants its first line.
    hostile.root = after(line_of_a, "x");
    let rebuilt = |from: u64| {
        let lines = [line(2, "etc/rules/a", 17), line(0, "etc/rules/n", 1)];
        let recipe = [varint(17 << 1 | 1), varint(from << 1)].concat();
        hostile.bundle("etc/rules/", &lines, &[frame(&recipe), frame(b"x")].concat())
    };
    for wrong in [1, 5, 16] {
        let text = hostile.refuse(&rebuilt(wrong));
        assert!(text.contains("does not lead to the root"), "{text}");
    }
    let text = hostile.refuse(&rebuilt(17 * 20));
    assert!(!text.contains("root"), "{text}");
    hostile.node.apply(&rebuilt(0), &hostile.base, hostile.root).unwrap();
}

#[test]
fn threat_30_data_without_an_end_is_refused_long_before_it_would_end() {
    let mut hostile = Hostile::new();
    // A frame's header, then blocks that hold nothing and are never the last.
    let endless = [vec![0x00, 0x58], vec![0; 30 << 20]].concat();
    for lines in [vec![], vec![line(0, "etc/rules/n", 1 << 10)]] {
        let text = hostile.refuse(&hostile.bundle("etc/rules/", &lines, &endless));
        let why = if lines.is_empty() { "bytes follow its end" } else { "goes on although all that it declares" };
        assert!(text.contains(why), "{text}");
    }
    hostile.node.budget.metadata_bytes = 1 << 10;
    let text = hostile.refuse(&[b"ORB1".as_slice(), &endless].concat());
    assert!(text.contains("goes on although all that it declares"), "{text}");
}

#[test]
fn sources_that_the_base_does_not_have_are_refused() {
    let hostile = Hostile::new();
    let copy = |source: &str| [vec![3], text("etc/rules/n"), vec![0], text(source)].concat();
    for lines in [copy("etc/rules/none"), line(1, "etc/rules/none", 1), line(2, "etc/rules/none", 1)] {
        let text = hostile.refuse_lines(&[lines]);
        assert!(text.contains("is not in its base"), "{text}");
    }
    for kind in [4, 5] {
        assert!(hostile.refuse_lines(&[[vec![kind], text("etc/rules/none")].concat()]).contains("is not in its base"));
    }
    assert!(hostile.refuse_lines(&[[vec![6], text("etc/rules/a")].concat()]).contains("does not know"));
    // A recipe that reaches behind the old version, and one that has no end.
    for recipe in [[varint(1 << 20 | 1), varint(0)].concat(), vec![0; 1 << 20], [varint(3), varint(u64::MAX)].concat()]
    {
        hostile.refuse(&hostile.bundle("etc/rules/", &[line(2, "etc/rules/a", 1 << 19)], &frame(&recipe)));
    }
}
