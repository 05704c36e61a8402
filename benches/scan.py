"""Scans of trees with a warm page cache: everything read, and nothing changed.

Peers, all in the same run over the same tree: the twin (plain Python that works as 4.9.2 does),
lean Python, ``find | xargs b2sum`` on two cores, and the floor: what any scan must do at the least,
listed, opened and read by ``rust/core/examples/floor.rs`` with two threads and nothing more.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benches.rows import Row
from benches.sync import make_tree
from outrider._native import FileRule, FilesTable, Tree

_BYTES = {10_000: 84_000_000, 100_000: 592_000_000}
_FULL = {10_000: (">= 5x (AVX2 4x)", "<= 2.3x (AVX2 3x)"), 100_000: (">= 6x (AVX2 5x)", "<= 2x (AVX2 2.5x)")}
_Twin = dict[str, dict[str, object]]
_Clocked = Callable[[], float]
"""One run of something; the seconds that it took."""


def run(*, short: bool) -> list[Row]:
    """Full and unchanged scans."""
    rows: list[Row] = []
    for count in (10_000,) if short else (10_000, 100_000):
        with tempfile.TemporaryDirectory(dir=_memory()) as base:
            home = Path(base)
            make_tree(home / "tree", count, total=_BYTES[count])
            rows += _full(home, count, runs=3 if short else 5)
            rows += _unchanged(home, count, runs=3 if short else 5)
    return rows


def _full(home: Path, count: int, runs: int) -> list[Row]:
    name = f"full scan of {count:,} files"
    tree = Tree(str(home), FilesTable([FileRule("tree/")]))
    twin_target, floor_target = _FULL[count]
    peers = [
        ("twin", _timed(lambda: twin_scan(home, "tree/", {})), twin_target),
        ("lean Python", _timed(lambda: _lean(home / "tree")), "told"),
        ("find | xargs -P2 b2sum", _timed(lambda: _b2sum(home / "tree")), "told"),
        *[("read floor, 2 threads", floor, floor_target) for floor in _floor("read", home)],
    ]
    return _rows(name, _timed(lambda: tree.scan(rehash=True)), peers, runs)


def _unchanged(home: Path, count: int, runs: int) -> list[Row]:
    name = f"unchanged scan of {count:,} files"
    tree = Tree(str(home), FilesTable([FileRule("tree/")]))
    tree.scan()
    known = twin_scan(home, "tree/", {})
    peers = [
        ("twin", _timed(lambda: twin_scan(home, "tree/", known)), ">= 6x"),
        *[("stat floor, 2 threads", floor, "<= 2x") for floor in _floor("stat", home)],
    ]
    return _rows(name, _timed(tree.scan), peers, runs)


def _rows(name: str, ours: _Clocked, peers: list[tuple[str, _Clocked, str]], runs: int) -> list[Row]:
    """Medians of runs in turns, so that a machine whose pace changes changes all of them; the first round warms up."""
    rounds = [[work() for work in (ours, *(peer for _, peer, _ in peers))] for _ in range(runs + 1)][1:]
    seconds, *others = map(statistics.median, zip(*rounds, strict=True))
    return [Row(name, seconds, peer, other, target) for (peer, _, target), other in zip(peers, others, strict=True)]


def twin_scan(home: Path, folder: str, known: _Twin) -> _Twin:
    """A scan as 4.9.2 does it: walk, relative paths, a cache by mtime alone, reads of 4 KiB."""
    found: _Twin = {}
    for root, _, names in os.walk(os.path.join(home, folder), topdown=True, followlinks=False):  # noqa: PTH118
        for name in names:
            if name in {"ar.conf", "ossec.conf"} or any(name.endswith(end) for end in ("~", ".tmp", ".lock", ".swp")):
                continue
            path = os.path.join(root, name)  # noqa: PTH118
            relative = os.path.relpath(path, home)
            mtime = os.path.getmtime(path)  # noqa: PTH204
            if relative in known and known[relative]["mod_time"] == mtime:
                found[relative] = known[relative]
                continue
            entry: dict[str, object] = {"mod_time": mtime, "cluster_item_key": folder, "merged": ".merged" in name}
            entry["hash"] = _small_reads(path)
            found[relative] = entry
    return found


def _small_reads(path: str) -> str:
    digest = hashlib.blake2b()
    with open(path, "rb") as file:  # noqa: PTH123
        for part in iter(lambda: file.read(4096), b""):
            digest.update(part)
    return digest.hexdigest()


def _lean(folder: Path) -> dict[str, bytes]:
    """As fast as plain Python goes on one thread: scandir, one read for each file, hashlib."""
    found, waiting = {}, [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                file = os.open(entry.path, os.O_RDONLY)
                found[entry.path] = hashlib.blake2b(os.read(file, os.fstat(file).st_size)).digest()
                os.close(file)
    return found


def _b2sum(folder: Path) -> None:
    command = 'find "$0" -type f -print0 | xargs -0 -P2 -n 1000 b2sum'
    subprocess.run(["sh", "-c", command, str(folder)], check=True, stdout=subprocess.DEVNULL)


def _floor(work: str, home: Path) -> list[_Clocked]:
    """The least time, counted inside so that no start of a process takes part; nothing without a toolchain."""
    root = Path(__file__).parents[1]
    build = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "outrider-core", "--example", "floor"]
    try:
        subprocess.run(build, cwd=root, check=True)
    except FileNotFoundError:
        return []
    folder = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    command = [str(folder / "release/examples/floor"), work, "2", str(home / "tree")]
    return [lambda: float(subprocess.check_output(command, text=True).split()[0])]


def _timed(work: Callable[[], object]) -> _Clocked:
    def clocked() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return clocked


def _memory() -> str | None:
    """Where files need no disk; anywhere else if there is no such place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
