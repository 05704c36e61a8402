//! What a bundle costs, beside what the zstd command line makes of the same versions.
//!
//! Where it is not installed, its figures of version 1.5.4 stand in, and frames are read by ours alone.

mod bundles;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bundles::{contents, pack, table};
use outrider_core::{Applier, Budget, Manifest, ScanOptions, Signatures, Step, scan};

/// Lines of some 200 bytes: text that zlib makes a third of.
fn lines(count: usize, seed: u64) -> Vec<String> {
    let mut x = seed;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 24
    };
    let line = |at| {
        let (day, node, pid, port, bytes) =
            (at / 9_000, next() % 40, next() % 32_768, next() % 65_536, next() % 100_000);
        let (session, request) = (next(), next());
        let user = ["root", "admin", "backup", "deploy", "www-data", "guest"][usize::try_from(next() % 6).unwrap()];
        format!(
            "Nov {day} 12:00:00 node-{node} sshd[{pid}]: Accepted publickey for user {user} from 10.0.{}.{} port {port} \
             ssh2: session {session:010x} opened, request {request:010x} answered by upstream within {} ms, with {bytes} bytes sent to the client\n",
            next() % 256,
            next() % 256,
            next() % 1000
        )
    };
    (0..count).map(line).collect()
}

/// A file of so many bytes of lines.
fn file(bytes: usize) -> Vec<String> {
    let mut lines = lines(bytes / 150, 7);
    let mut size = 0;
    let fits = lines.iter().take_while(|line| {
        size += line.len();
        size <= bytes
    });
    let fits = fits.count();
    lines.truncate(fits);
    lines
}

/// One line of so many, anywhere, says something else.
fn changed(lines: &[String], one_of: u64) -> Vec<String> {
    let mut x = 11_u64;
    let change = |(at, line): (usize, &String)| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (x >> 33).is_multiple_of(one_of) { line.replace("user", &format!("user {at} as")) } else { line.clone() }
    };
    lines.iter().enumerate().map(change).collect()
}

/// A file of a master before and after, and of a worker that has it as it was.
struct Versions {
    folder: tempfile::TempDir,
    from: Manifest,
    to: Manifest,
    new: String,
}

impl Versions {
    fn new(old: &str, new: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nothing")).unwrap();
        for (home, content) in [("old", old), ("new", &new), ("worker", old)] {
            let rules = folder.path().join(home).join("etc/rules");
            fs::create_dir_all(&rules).unwrap();
            fs::write(rules.join("file"), content).unwrap();
        }
        let look = |home: &str| scan(&folder.path().join(home), &table(), ScanOptions::default()).unwrap().manifest;
        Self { from: look("old"), to: look("new"), folder, new }
    }

    fn home(&self, home: &str) -> PathBuf {
        self.folder.path().join(home)
    }

    /// The bytes of the step, and those of the list of chunks if `old` does not keep the base.
    fn step(&self, old: &str) -> (Vec<u8>, u64) {
        let step = Step::new(&self.from, &self.to, &table(), &[]);
        if old == "old" {
            return (pack(&step, &self.home(old), &self.home("new")), 0);
        }
        let signatures = Signatures::of(&contents(&self.home("worker")), self.from.entries()).unwrap();
        let chunks = signatures.to_bytes().len();
        (pack(&step.with_signatures(signatures), &self.home(old), &self.home("new")), chunks as u64)
    }

    fn apply(&self, bundle: &[u8]) {
        let (home, table) = (self.home("worker"), std::sync::Arc::new(table()));
        let applier = Applier { home, table, owner: None, keep_previous: 1, budget: Budget::default() };
        applier.apply_bundle(bundle, &self.from, self.to.root(), None).unwrap();
        let file = "etc/rules/file";
        assert!(fs::read(self.home("worker").join(file)).unwrap() == self.new.as_bytes());
        fs::copy(self.home("old").join(file), self.home("worker").join(file)).unwrap();
    }

    /// The size of the command line's patch, if there is a command line.
    fn zstd(&self) -> Option<u64> {
        let (old, new) = (self.home("old").join("etc/rules/file"), self.home("new").join("etc/rules/file"));
        let (out, from) = (self.home("patch"), format!("--patch-from={}", old.display()));
        zstd(&["-3".as_ref(), from.as_ref(), &new, "-o".as_ref(), &out]).then(|| fs::metadata(out).unwrap().len())
    }
}

/// Runs the command line; false if there is none.
fn zstd(arguments: &[&Path]) -> bool {
    match Command::new("zstd").args(["-q", "-f"]).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        done => {
            let done = done.unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            true
        }
    }
}

#[test]
fn bundles_of_one_large_file_are_as_small_as_zstd_makes_patches() {
    let ten = file(10_000_000);
    let mut one = ten.clone();
    one[20_000] = "another line\n".to_owned();
    let (ten, one, changed) = (ten.concat(), one.concat(), changed(&ten, 100).concat());
    let appended = ten.clone() + &lines(540, 8).concat();
    let inserted = "a line that was not there\n".to_owned() + &ten;
    // What the command line made of it, and what chunks of an unknown base take at best: the bundle, and their list.
    let cases = [
        ("1 line in 10 MB", &ten, one, 1_108, 3_300 + 17_500),
        ("1% of the lines of 10 MB", &ten, changed, 6_854, 1_006_000 + 18_000),
        ("append 1% to 10 MB", &ten, appended, 22_385, 12_000 + 17_500),
        ("insert at the start of 10 MB", &ten, inserted, 1_116, 900 + 17_500),
    ];
    for (case, old, new, peer, chunked) in cases {
        let versions = Versions::new(old, new);
        let peer = versions.zstd().unwrap_or(peer);
        let (bundle, _) = versions.step("old");
        versions.apply(&bundle);
        let known = bundle.len() as u64;
        let (bundle, chunks) = versions.step("nothing");
        versions.apply(&bundle);
        let unknown = bundle.len() as u64;
        println!("{case}: known {known}, zstd {peer}, unknown {unknown} + {chunks}, reach {chunked}");
        // A bundle has a header and its roots besides.
        assert!(known <= peer + peer / 5 + 250, "{case}: {known} beside {peer}");
        assert!(unknown + chunks <= chunked * 12 / 10, "{case}: {unknown} + {chunks} beside {chunked}");
    }
}

#[test]
fn one_line_in_each_hundredth_of_ten_thousand_files_is_a_few_kilobytes() {
    let all = lines(10_000 * 20, 9);
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (at, lines) in all.chunks(20).enumerate() {
        let path = format!("etc/rules/{:02}/rule_{at:05}.xml", at % 50);
        let write = |home: &Path, content: String| {
            fs::create_dir_all(home.join(&path).parent().unwrap()).unwrap();
            fs::write(home.join(&path), content).unwrap();
        };
        write(old.path(), lines.concat());
        let mut lines = lines.to_vec();
        if at % 100 == 0 {
            lines[7] = lines[7].replace("user", "another user");
        }
        write(new.path(), lines.concat());
    }
    let look = |home: &Path| scan(home, &table(), ScanOptions::default()).unwrap().manifest;
    let (from, to) = (look(old.path()), look(new.path()));
    let begun = std::time::Instant::now();
    let bundle = pack(&Step::new(&from, &to, &table(), &[]), old.path(), new.path());
    println!("1 line in 1% of 10,000 files: {} bytes, packed in {:?}", bundle.len(), begun.elapsed());
    assert!(bundle.len() <= 13_000, "{}", bundle.len());
}

/// A frame of ours with the magic number that the bundle leaves out, and where the next one begins.
fn standard(frames: &[u8]) -> (Vec<u8>, usize) {
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd], frames].concat();
    let size = zstd::zstd_safe::find_frame_compressed_size(&frame).unwrap();
    (frame[..size].to_vec(), size - 4)
}

#[test]
fn the_zstd_command_line_reads_each_frame() {
    let old = lines(300, 3);
    let mut new = old.clone();
    new[100] = "another line\n".to_owned();
    let pair = bundles::Pair::new(
        &bundles::tree(&[("etc/rules/patched", old.concat())]),
        &bundles::tree(&[("etc/rules/new", "entirely new\n".repeat(9)), ("etc/rules/patched", new.concat())]),
    );
    let bundle = pair.known();
    let folder = tempfile::tempdir().unwrap();
    let (packed, out) = (folder.path().join("packed"), folder.path().join("out"));
    let mut rest = bundle.strip_prefix(b"ORB1").unwrap();
    let mut unpacked = Vec::new();
    for prefix in [None, Some(pair.old.join("etc/rules/patched")), None] {
        let (frame, size) = standard(rest);
        rest = &rest[size..];
        fs::write(&packed, frame).unwrap();
        let prefix = prefix.map(|old| format!("--patch-from={}", old.display()));
        let mut arguments: Vec<&Path> = vec!["-d".as_ref(), &packed, "-o".as_ref(), &out];
        arguments.extend(prefix.as_ref().map(Path::new));
        unpacked.push(zstd(&arguments).then(|| fs::read(&out).unwrap()));
    }
    assert!(rest.is_empty());
    let Some(unpacked) = unpacked.into_iter().collect::<Option<Vec<_>>>() else { return };
    assert!(unpacked[0].starts_with(&[pair.from.root().0, pair.to.root().0].concat()));
    assert_eq!(unpacked[1], new.concat().into_bytes());
    assert_eq!(unpacked[2], "entirely new\n".repeat(9).into_bytes());
}
