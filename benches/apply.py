"""A durable apply of many small files over existing ones, on a real disk.

The peers, in plain Python, begin with the contents in memory; ours begins with a container, so its
time also holds inflating, hashing and verifying, and afterwards the old version still lies there.

- fsync each + rename: write to a temporary name, fsync, rename, for each file; then fsync the folders.
- write, syncfs, rename, syncfs: all new files aside, one sync, all renames, one sync.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benches.container import TABLE
from benches.rows import Row
from benches.sync import make_tree
from outrider._native import Tree, diff

Contents = dict[Path, bytes]
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(*, short: bool) -> list[Row]:
    """Apply; each run changes every file, over a tree that is not deleted before, since that alone makes ext4 slow."""
    count, runs = (2_000, 1) if short else (10_000, 3)
    with tempfile.TemporaryDirectory(dir=_disk()) as folder:
        base = Path(folder)
        for home in ("ours", "each", "twice", "master"):
            make_tree(base / home / "tree", count, total=count * 2_000)
        _syncfs(base)
        times = [_round(base, number) for number in range(runs)]
    ours, each, twice = (statistics.median(column) for column in zip(*times, strict=True))
    name = f"durable apply of {count:,} files"
    return [
        Row(name, ours, "fsync each + rename", each, ">= 5x"),
        Row(name, ours, "write, syncfs, rename, syncfs", twice, "> 1x"),
    ]


def _round(base: Path, number: int) -> tuple[float, float, float]:
    master, ours = Tree(str(base / "master"), TABLE), Tree(str(base / "ours"), TABLE)
    for path in (base / "master/tree").rglob("*.conf"):
        path.write_bytes(b"%d" % number + path.read_bytes()[1:])
    packer = master.pack(diff(master.scan().manifest, ours.scan().manifest, TABLE))
    (base / "container").write_bytes(packer.read(1 << 30))
    _syncfs(base)
    applied = _timed(lambda: ours.apply(str(base / "container")))
    ours.sweep()
    contents = {path.relative_to(base / "master"): path.read_bytes() for path in (base / "master/tree").rglob("*.conf")}
    _syncfs(base)
    each = _timed(lambda: _fsync_each(base / "each", contents))
    _syncfs(base)
    return applied, each, _timed(lambda: _sync_twice(base / "twice", contents))


def _fsync_each(home: Path, contents: Contents) -> None:
    for name, content in contents.items():
        aside = home / f"{name}.tmp"
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(home / name)
    for folder in {(home / name).parent for name in contents}:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _sync_twice(home: Path, contents: Contents) -> None:
    for name, content in contents.items():
        (home / f"{name}.tmp").write_bytes(content)
    _syncfs(home)
    for name in contents:
        (home / f"{name}.tmp").rename(home / name)
    _syncfs(home)


def _syncfs(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _LIBC.syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(handle)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _disk() -> str | None:
    """A folder on a real disk: OUTRIDER_BENCH_DISK, else where temporary files lie."""
    return os.environ.get("OUTRIDER_BENCH_DISK")
