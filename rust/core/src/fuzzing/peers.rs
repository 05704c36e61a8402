//! What peers send.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::bundle::header::Header;
use crate::bundle::recipe::RecipeReader;
use crate::bundle::unframe::{FrameReader, Source, context};
use crate::bundle::{MAGIC, checked_frame};
use crate::container::Reader;
use crate::manifest_native::{compressed, finish};
use crate::{
    AgentMessage, Applier, Budget, Claim, Digest, Entry, FileRule, FilesTable, Manifest, Plan, RelPath, Result,
    ShortManifest, Signatures, read_manifest,
};

use super::choice;

/// Small, so that a bomb is found by a few bytes.
const BUDGET: Budget =
    Budget { members: 100, file_bytes: 1 << 16, total_bytes: 1 << 18, metadata_bytes: 1 << 16, ratio: 250 };

/// A chunk is what any reader of JSON finds in that place.
pub(super) fn agents(bytes: &[u8]) {
    let Ok(message) = AgentMessage::read(bytes) else { return };
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    for at in 0..message.len() {
        if let (Some(Ok(chunk)), Some(value)) = (message.chunk(at), &value) {
            assert_eq!(value["chunks"][at].as_str(), Some(&*chunk), "chunk {at}");
        }
    }
    assert!(message.chunk(message.len()).is_none(), "a chunk beyond the last");
}

/// A home with two files, and what its manifest says.
fn home() -> &'static (PathBuf, Manifest, Arc<FilesTable>) {
    static HOME: OnceLock<(PathBuf, Manifest, Arc<FilesTable>)> = OnceLock::new();
    HOME.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let home = root.join(format!("outrider-fuzz-{}", std::process::id()));
        fs::create_dir_all(home.join("etc/rules")).unwrap();
        let files = [("etc/rules/a", "the content of a\n".repeat(20)), ("etc/rules/b", "b".to_owned())];
        let entry = |(path, content): &(&str, String)| {
            fs::write(home.join(path), content).unwrap();
            let path = RelPath::new(path).unwrap();
            Entry { path, digest: Digest::of(content.as_bytes()), mod_time: 1.0, rule: "etc/rules/".into() }
        };
        let manifest = Manifest::from(files.iter().map(entry).collect::<Vec<_>>());
        let table = FilesTable { rules: vec![rule("etc/rules/", 1)], ..FilesTable::default() };
        (home, manifest, Arc::new(table))
    })
}

/// Whatever arrives as a bundle for a tree, the tree stays as it was: nothing leads to a root of noise.
///
/// The bytes are a header and what follows its frame, with the lengths of the first in two bytes.
pub(super) fn bundle(bytes: &[u8]) {
    let (home, base, table) = home();
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (header, body) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
    let to = Digest([9; 64]);
    let header = [&base.root().0, &to.0, header].concat();
    let sent = [MAGIC, checked_frame(&header, 1).unwrap().as_slice(), body].concat();
    let applier =
        Applier { home: home.clone(), table: Arc::clone(table), owner: None, keep_previous: 0, budget: BUDGET };
    assert!(applier.apply_bundle(sent.as_slice(), base, to, None).is_err(), "a bundle of noise was applied");
    for entry in base.entries() {
        let found = fs::read(home.join(entry.path.as_str())).unwrap();
        assert_eq!(Digest::of(&found), entry.digest, "{} was changed", entry.path);
    }
    let left = fs::read_dir(home.join("etc/rules")).unwrap().count() + fs::read_dir(home).unwrap().count();
    assert_eq!(left, 2 + 2, "something was left in the home");
    let stages = fs::read_dir(home.join(".outrider/stage")).map_or(0, Iterator::count);
    assert_eq!(stages, 0, "a stage was left");
}

/// What was read is written and read as the same.
pub(super) fn bundle_header(bytes: &[u8]) {
    let Ok(header) = Header::read(bytes, 1000) else { return };
    let again = Header::read(header.write().unwrap().as_slice(), 1000).unwrap();
    assert_eq!((header.from, header.to), (again.from, again.to));
    let equal = header.lines.iter().zip(&again.lines).all(|(a, b)| (&a.path, &a.sent) == (&b.path, &b.sent));
    assert!(equal && header.lines.len() == again.lines.len(), "a line was lost");
}

/// Gives at most so many bytes at a time.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let size = room.len().min(self.1);
        self.0.read(&mut room[..size])
    }
}

fn members(source: impl Read, at_once: bool) -> Result<Vec<(String, Vec<u8>)>> {
    let mut reader = Reader::new(source, BUDGET);
    let mut found = Vec::new();
    while let Some(name) = reader.next_name()? {
        let mut content = vec![0; 1 << 16];
        if let Some(size) = if at_once { reader.content_at_once(&mut content)? } else { None } {
            content.truncate(size);
        } else {
            content.clear();
            let limit = reader.file_bytes();
            let mut stream = reader.content(limit);
            let mut room = [0; 1000];
            loop {
                match stream.unpack(&mut room)? {
                    0 => break,
                    size => content.extend(&room[..size]),
                }
            }
            stream.finish()?;
        }
        found.push((name, content));
    }
    Ok(found)
}

/// Two decompressors, and any size of parts, find the same members; budgets hold.
pub(super) fn container(bytes: &[u8]) {
    let _ = read_manifest(bytes, BUDGET);
    let Ok(found) = members(bytes, true) else { return };
    let streamed = members(Dripping(bytes, 7), false);
    // Where one decompressor is stricter the other one's member counts for nothing: its digest is checked.
    if let Ok(streamed) = streamed {
        assert!(found == streamed, "two ways of reading differ");
    }
    let total: usize = found.iter().map(|(_, content)| content.len()).sum();
    assert!(total as u64 <= BUDGET.total_bytes && found.len() as u64 <= BUDGET.members, "over the budget");
}

fn unframed(source: impl Read) -> io::Result<Vec<Vec<u8>>> {
    let mut source = Source::new(source, BUDGET.total_bytes);
    let mut unpacker = context(20).map_err(io::Error::other)?;
    let mut found = Vec::new();
    while !source.is_at_end()? && found.len() < 8 {
        let mut content = Vec::new();
        let frame = FrameReader::new(&mut unpacker, &mut source, None).map_err(io::Error::other)?;
        frame.take(BUDGET.file_bytes).read_to_end(&mut content)?;
        found.push(content);
    }
    Ok(found)
}

/// Wherever a part ends, what is read is the same.
pub(super) fn frames(bytes: &[u8]) {
    let (step, bytes) = choice(bytes);
    let whole = unframed(bytes);
    let dripped = unframed(Dripping(bytes, usize::from(step) + 1));
    // What no encoder writes, a block of one repeated byte of which there is none, zstd takes only in one piece.
    if let (Ok(whole), Ok(dripped)) = (whole, dripped) {
        assert!(whole == dripped, "a part's end changed a frame");
    }
}

/// The native form, whole and short; with an odd first byte what follows is packed here, so that changes get inside.
pub(super) fn manifest(bytes: &[u8]) {
    let (packed, bytes) = choice(bytes);
    let inner = if packed & 1 == 1 {
        let mut frame = Vec::new();
        let mut out = compressed(&mut frame).unwrap();
        out.write_all(bytes).unwrap();
        finish(out).unwrap();
        frame
    } else {
        bytes.to_vec()
    };
    if let Ok(manifest) = Manifest::read_native(inner.as_slice(), 1 << 20) {
        let mut out = Vec::new();
        manifest.write_native(&mut out).unwrap();
        let again = Manifest::read_native(out.as_slice(), 1 << 20).unwrap();
        assert_eq!(again.root(), manifest.root());
    }
    let _ = ShortManifest::read_native(inner.as_slice(), 1 << 20).map(|short| {
        assert!(short.entries().windows(2).all(|pair| pair[0].path < pair[1].path), "out of order");
    });
}

/// What a reader of JSON knows nothing of is not in it, and what was read is written and read as the same.
pub(super) fn metadata(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::read_wire(bytes) {
        // What nobody reads (`merge_name`) need not even be text.
        if let Ok(value) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(bytes) {
            assert_eq!(value.len(), manifest.entries().len());
            for entry in manifest.entries() {
                let hash = value[entry.path.as_str()]["hash"].as_str().map(str::to_lowercase);
                assert_eq!(hash, Some(entry.digest.to_string()));
            }
        }
        let mut out = Vec::new();
        manifest.write_wire(&mut out, "/home").unwrap();
        assert_eq!(Manifest::read_wire(out.as_slice()).unwrap(), manifest);
        assert_eq!(Claim::read_wire(bytes).unwrap().manifest, manifest);
    }
    if let Ok(plan) = Plan::read_wire(bytes) {
        let mut out = Vec::new();
        plan.write_wire(&mut out).unwrap();
        assert_eq!(Plan::read_wire(out.as_slice()).unwrap(), plan);
    }
    let _ = Claim::read_wire(bytes).map(|claim| {
        assert!(claim.unnameable.iter().all(|(name, _)| RelPath::new(name).is_err() || name.chars().count() >= 200));
    });
}

/// The same as following it in memory.
pub(super) fn recipe(bytes: &[u8]) {
    const OLD: &[u8] = b"The old version of a file, which a recipe takes pieces from.";
    static FILE: OnceLock<fs::File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = home().0.with_extension("old");
        fs::write(&path, OLD).unwrap();
        let file = fs::File::open(&path).unwrap();
        fs::remove_file(path).unwrap();
        file
    });
    let mut made = Vec::new();
    let read = RecipeReader::new(bytes, file).take(BUDGET.file_bytes).read_to_end(&mut made);
    let followed = follow(bytes, OLD);
    if made.len() as u64 == BUDGET.file_bytes {
        return;
    }
    match (read, followed) {
        (Ok(_), Some(followed)) => assert_eq!(made, followed),
        (Err(_), None) => {}
        (read, followed) => panic!("{read:?}, but {followed:?}"),
    }
}

fn follow(mut recipe: &[u8], old: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0_u64);
    while !recipe.is_empty() {
        let command = crate::bundle::varint::read(&mut recipe).ok()?;
        let length = usize::try_from(command >> 1).ok().filter(|length| *length > 0)?;
        let piece = if command & 1 == 1 {
            let moved = crate::bundle::varint::read(&mut recipe).ok()?;
            at = at.wrapping_add((moved >> 1) ^ (moved & 1).wrapping_neg());
            let start = usize::try_from(at).ok()?;
            let piece = old.get(start..)?.get(..length)?;
            at = at.wrapping_add(length as u64);
            piece
        } else {
            recipe.split_off(..length)?
        };
        out.extend_from_slice(piece);
    }
    Some(out)
}

/// Accepted is what stays below its root by the rules of the system, too.
pub(super) fn relpath(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(path) = RelPath::new(text) else { return };
    assert!(Path::new(text).components().all(|component| matches!(component, Component::Normal(_))));
    assert!(!text.contains(['\\', '\0']) && text.len() <= 4096 && text.split('/').all(|part| part.len() <= 255));
    let joined =
        if path.folder().is_empty() { path.name().to_owned() } else { format!("{}/{}", path.folder(), path.name()) };
    assert_eq!(joined, text);
}

/// What was read is written and read as the same.
pub(super) fn signatures(bytes: &[u8]) {
    let Ok(signatures) = Signatures::from_bytes(bytes) else { return };
    assert_eq!(Signatures::from_bytes(&signatures.to_bytes()).unwrap(), signatures);
}

fn rule(folder: &str, flags: u8) -> FileRule {
    FileRule {
        folder: folder.into(),
        names: (flags & 2 != 0).then(|| vec!["name".to_owned()]),
        recursive: flags & 1 != 0,
        permissions: 0o660,
        remove_subdirs_if_empty: flags & 4 != 0,
        extra_valid: flags & 8 != 0,
    }
}

/// Lines of text: the last is a path, the others are folders; a path is admitted by a row that begins it, or by none.
pub(super) fn table(bytes: &[u8]) {
    let (flags, rest) = choice(bytes);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Some((folders, path)) = text.rsplit_once('\n') else { return };
    let table = FilesTable {
        rules: folders.lines().take(20).map(|folder| rule(folder, flags)).collect(),
        excluded_files: vec!["ar.conf".to_owned()],
        excluded_suffixes: vec!["~".to_owned()],
        follow_links: false,
    };
    let (Ok(()), Ok(path)) = (table.check(), RelPath::new(path)) else { return };
    let found = table.rule_for(&path).map(|rule| &*rule.folder);
    let name = path.name();
    let excluded = name == "ar.conf" || name.ends_with('~') || (flags & 2 != 0 && name != "name");
    let below = |folder: &str| {
        let parent = format!("{}/", path.folder());
        if flags & 1 != 0 { parent.starts_with(folder) } else { parent == folder }
    };
    let wanted = folders.lines().take(20).find(|folder| !excluded && below(folder));
    assert_eq!(found, wanted);
}
