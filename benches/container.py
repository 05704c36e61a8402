"""Packing and unpacking a container on tmpfs, beside the twin: Python and zlib level 1, file by file.

Ours hashes on both ways, which the twin does not: what is packed has its own digest, and what is
unpacked is verified. Unpacking is the phase ``unpack`` of an apply: inflate, hash, write, plan.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
import zlib
from pathlib import Path

from benches.rows import Row
from benches.sync import make_tree
from outrider._native import FileRule, FilesTable, Manifest, Plan, Tree, diff

PATH_SEP, FILE_SEP, METADATA = b"|//@@//|", b"|@@//@@|", b"files_metadata.json"
WINDOW = 10 << 20
TABLE = FilesTable([FileRule("tree/")])


def run(*, short: bool) -> list[Row]:
    """Pack and unpack; the size of our container as a part of the twin's stands in the name."""
    count, runs = (2_000, 3) if short else (10_000, 7)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        base = Path(folder)
        make_tree(base / "master/tree", count, total=98_000_000 * count // 10_000)
        master = Tree(str(base / "master"), TABLE, threads=2)
        plan = diff(master.scan().manifest, Manifest.from_wire(b"{}"), TABLE)
        ours, theirs = base / "ours", base / "theirs"
        pack = [(_pack(master, plan, ours), _twin_pack(base / "master", plan, theirs)) for _ in range(runs)]
        unpack = [(_unpack(base / "worker", ours), _twin_unpack(base / "worker", theirs)) for _ in range(runs)]
        size = ours.stat().st_size / theirs.stat().st_size
    return [
        _row(f"pack {count:,} files, 2 threads, size {size:.3f} of zlib's", pack, ">= 1.5x, size <= 1.1"),
        _row(f"unpack {count:,} files", unpack, ">= 1.5x"),
    ]


def _row(name: str, times: list[tuple[float, float]], target: str) -> Row:
    ours, theirs = zip(*times, strict=True)
    return Row(name, statistics.median(ours), "twin, zlib 1", statistics.median(theirs), target)


def _pack(master: Tree, plan: Plan, to: Path) -> float:
    start = time.perf_counter()
    packer = master.pack(plan)
    with to.open("wb") as container:
        for part in iter(lambda: packer.read(1 << 20), b""):
            container.write(part)
    return time.perf_counter() - start


def _twin_pack(home: Path, plan: Plan, to: Path) -> float:
    start = time.perf_counter()
    with to.open("wb") as container:
        for entry in plan.missing:
            content = (home / entry.path).read_bytes()
            container.write(entry.path.encode() + PATH_SEP + zlib.compress(content, 1) + FILE_SEP)
        groups = {"missing": _entries(plan), "extra": {}, "shared": {}}
        container.write(METADATA + PATH_SEP + zlib.compress(json.dumps(groups).encode(), 1))
    return time.perf_counter() - start


def _entries(plan: Plan) -> dict[str, dict[str, object]]:
    return {
        entry.path: {
            "mod_time": entry.mod_time,
            "cluster_item_key": entry.rule,
            "merged": False,
            "hash": entry.hash,
        }
        for entry in plan.missing
    }


def _unpack(home: Path, container: Path) -> float:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return Tree(str(home), TABLE).apply(str(container)).seconds["unpack"]


def _twin_unpack(home: Path, container: Path) -> float:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    start = time.perf_counter()
    rest = b""
    with container.open("rb") as file:
        for part in iter(lambda: file.read(WINDOW), b""):
            *members, rest = (rest + part).split(FILE_SEP)
            for member in members:
                _twin_member(home, member)
    _twin_member(home, rest)
    return time.perf_counter() - start


def _twin_member(home: Path, member: bytes) -> None:
    name, stream = member.split(PATH_SEP)
    path = home / name.decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zlib.decompress(stream))
