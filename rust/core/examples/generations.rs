//! What the store of generations costs, in ms: the first generation beside reading and compressing the same files
//! and no more, the next with one changed file, a manifest read back, and a sweep that writes packs together.
//!
//! `cargo run --release -p outrider-core --example generations -- FILES EMPTY_FOLDER`

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use outrider_core::{
    FileRule, FilesTable, GenerationLimits, Generations, Manifest, ScanOptions, ShortManifest, TreeContents, scan,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, files, home] = arguments.as_slice() else { return Err("generations FILES EMPTY_FOLDER".into()) };
    let (files, home) = (files.parse::<usize>()?, Path::new(home));
    let paths = tree(home, files)?;
    let table = Arc::new(FilesTable { rules: vec![rule()], ..FilesTable::default() });
    let look = || scan(home, &table, ScanOptions::default()).map(|scan| Arc::new(scan.manifest));
    let (manifest, contents) = (look()?, TreeContents::new(home, Arc::clone(&table))?);
    timed("read and compress", || compressed(home, &paths))?;

    let limits = GenerationLimits { count: 16, bytes: 1 << 40 };
    let store = Generations::open(home, limits, [0; 16])?;
    timed("first generation", || store.add(&manifest, &contents, 0.0))?;
    // What was written before must not be waited for again.
    rustix::fs::sync();
    for _ in 0..5 {
        change(home, &paths[files / 2])?;
        let manifest = look()?;
        timed("one changed file", || store.add(&manifest, &contents, 0.0))?;
    }
    drop(store);
    let store = timed("open", || Generations::open(home, limits, [0; 16]))?;
    timed("manifest", || store.manifest(6).ok_or("generation 6 is gone"))?;
    for _ in 0..85 {
        change(home, &paths[files / 3])?;
        store.add(&look()?, &contents, 0.0)?;
    }
    timed("sweep that writes", || store.sweep())?;

    let (mut whole, mut short) = (Vec::new(), Vec::new());
    timed("write native", || manifest.write_native(&mut whole))?;
    timed("read native", || Manifest::read_native(whole.as_slice(), u64::MAX))?;
    timed("write short", || manifest.write_native_short(&mut short))?;
    timed("read short", || ShortManifest::read_native(short.as_slice(), u64::MAX))?;
    println!("bytes: native {}, short {}, store {}", whole.len(), short.len(), store.list()[0].bytes);
    Ok(())
}

fn rule() -> FileRule {
    FileRule {
        folder: "tree/".into(),
        names: None,
        recursive: true,
        permissions: 0o660,
        remove_subdirs_if_empty: false,
        extra_valid: false,
    }
}

/// Files of 8.4 KB on average, of words that shrink to a fifth.
fn tree(home: &Path, files: usize) -> std::io::Result<Vec<String>> {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 40
    };
    let mut paths = Vec::with_capacity(files);
    for at in 0..files {
        let path = format!("tree/{:03}/rule_{at:07}.xml", at / 100);
        let mut text = String::new();
        while text.len() < 8400 {
            writeln!(text, "<rule id=\"{}\" level=\"{}\"><match>{at}</match></rule>", next(), next() % 16).ok();
        }
        if at % 100 == 0 {
            fs::create_dir_all(home.join(format!("tree/{:03}", at / 100)))?;
        }
        fs::write(home.join(&path), text)?;
        paths.push(path);
    }
    Ok(paths)
}

fn change(home: &Path, path: &str) -> std::io::Result<()> {
    let text = fs::read_to_string(home.join(path))?;
    fs::write(home.join(path), text + "<!-- one more line -->\n")
}

/// What any copy must do at least, with two threads: the bytes that it comes to.
fn compressed(home: &Path, paths: &[String]) -> std::io::Result<usize> {
    let work = |paths: &[String]| -> std::io::Result<usize> {
        let mut compressor = zstd::bulk::Compressor::new(3)?;
        paths.iter().map(|path| Ok(compressor.compress(&fs::read(home.join(path))?)?.len())).sum()
    };
    thread::scope(|scope| {
        let halves: Vec<_> = paths.chunks(paths.len().div_ceil(2)).map(|half| scope.spawn(|| work(half))).collect();
        halves.into_iter().map(|half| half.join().unwrap_or(Ok(0))).sum()
    })
}

fn timed<T, E>(what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let done = work()?;
    println!("{what:<20}{:>9.2}", start.elapsed().as_secs_f64() * 1e3);
    Ok(done)
}
