//! The least that any scan must do, for the benches to compare with: `floor stat|read THREADS HOME`.
//!
//! `stat` lists every folder and stats every file; `read` opens, stats, reads and closes each of them.
//! Nothing is hashed, sorted or kept. Prints the seconds and the bytes.
//!
//! `cargo run --release -p outrider-core --example floor -- read 2 /some/home`

use std::error::Error;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};

/// Folders that wait, and how many are waiting or being listed.
struct Queue(Mutex<Vec<PathBuf>>, AtomicUsize);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, work, threads, home] = arguments.as_slice() else { return Err("floor stat|read THREADS HOME".into()) };
    let (read, threads) = (work == "read", threads.parse::<usize>()?);
    let start = Instant::now();
    let queue = Queue(Mutex::new(vec![PathBuf::from(home)]), AtomicUsize::new(1));
    let bytes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| bytes.fetch_add(walk(&queue, read), Ordering::Relaxed));
        }
    });
    println!("{} {}", start.elapsed().as_secs_f64(), bytes.into_inner());
    Ok(())
}

fn walk(queue: &Queue, read: bool) -> usize {
    let (mut names, mut content) = (Vec::with_capacity(32 * 1024), vec![0; 1 << 20]);
    let mut bytes = 0;
    while queue.1.load(Ordering::Acquire) > 0 {
        let next = queue.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match next {
            None => std::thread::yield_now(),
            Some(folder) => {
                bytes += list(queue, &folder, &mut names, read.then_some(content.as_mut_slice())).unwrap_or(0);
                queue.1.fetch_sub(1, Ordering::Release);
            }
        }
    }
    bytes
}

fn list(queue: &Queue, path: &Path, names: &mut Vec<u8>, mut read: Option<&mut [u8]>) -> rustix::io::Result<usize> {
    let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut entries = RawDir::new(&folder, names.spare_capacity_mut());
    let mut bytes = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            FileType::RegularFile => {
                bytes += match read.as_deref_mut() {
                    Some(content) => {
                        whole(openat(&folder, name, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())?, content)?
                    }
                    None => usize::try_from(statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_size).unwrap_or(0),
                }
            }
            FileType::Directory if name != c"." && name != c".." => {
                queue.1.fetch_add(1, Ordering::AcqRel);
                let below = path.join(name.to_str().unwrap_or_default());
                queue.0.lock().unwrap_or_else(PoisonError::into_inner).push(below);
            }
            _ => {}
        }
    }
    Ok(bytes)
}

#[allow(clippy::needless_pass_by_value, reason = "closing the file belongs to the work")]
fn whole(file: OwnedFd, content: &mut [u8]) -> rustix::io::Result<usize> {
    let mut left = usize::try_from(fstat(&file)?.st_size).unwrap_or(0);
    let mut bytes = 0;
    while left > 0 {
        let wanted = left.min(content.len());
        match rustix::io::read(&file, &mut content[..wanted])? {
            0 => break,
            n => (bytes, left) = (bytes + n, left - n),
        }
    }
    Ok(bytes)
}
