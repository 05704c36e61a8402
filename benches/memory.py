"""How much a worker grows over idle when its tree has 100,000 files, and what a container of 1 GiB takes.

Not a time: the rows' figures are MiB. The first is the growth of the largest resident size: a worker's
over what it was while idle with an empty tree, in the first sync and in the rounds in step; that of a
process of its own which packs, and of one which applies. The second is what is allowed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benches.cluster import write_key
from benches.rows import Row
from benches.sync import make_tree
from outrider._native import FileRule, FilesTable, Manifest, Tree, diff
from outrider.demo.processes import NodeProcess

_ALLOWED_MIB = 64
_ROUNDS = 3
_TABLE = FilesTable([FileRule("tree/")])


def run(*, short: bool) -> list[Row]:
    """One first sync of many files and the rounds after it; one container that holds 1 GiB of noise."""
    count = 10_000 if short else 100_000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        make_tree(Path(base) / "tree", count, count * 2_000)
        grown = asyncio.run(_growth(Path(base)))
    for phase, mib in grown.items():
        print(f"  {phase}: {mib:.1f} MiB above idle")
    size = 128 if short else 1024
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        _make_noise(Path(base) / "master/tree", size)
        packing, applying = (_in_its_own_process(work, Path(base)) for work in (_pack, _apply))
    return [
        _row(f"above idle with {count:,} files", max(grown.values())),
        _row(f"to pack a container of {size:,} MiB, 2 threads", packing),
        _row(f"to apply a container of {size:,} MiB", applying),
    ]


def _row(name: str, mib: float) -> Row:
    return Row(name, mib, "allowed", _ALLOWED_MIB, ">= 1x", "MiB")


def _make_noise(folder: Path, mib: int) -> None:
    """A large file of three quarters, the rest in files of 1 MiB; nothing of it shrinks."""
    folder.mkdir(parents=True)
    with (folder / "large").open("wb") as large:
        for at in range(mib):
            noise = os.urandom(1 << 20)
            if at % 4:
                large.write(noise)
            else:
                (folder / str(at)).write_bytes(noise)


def _in_its_own_process(work: Callable[[Path], float], base: Path) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (base,))


def _pack(base: Path) -> float:
    tree = Tree(str(base / "master"), _TABLE, threads=2)
    plan = diff(tree.scan().manifest, Manifest.from_wire(b"{}"), _TABLE)
    idle = _new_peak_mib(os.getpid())
    packer = tree.pack(plan, limit=2 << 30)
    with (base / "container").open("wb") as container:
        for part in iter(lambda: packer.read(1 << 20), b""):
            container.write(part)
    return _new_peak_mib(os.getpid()) - idle


def _apply(base: Path) -> float:
    (base / "worker").mkdir()
    tree = Tree(str(base / "worker"), _TABLE)
    idle = _new_peak_mib(os.getpid())
    tree.apply(str(base / "container"))
    return _new_peak_mib(os.getpid()) - idle


async def _growth(base: Path) -> dict[str, float]:
    """The growth in each phase. The master's tree comes by a rename, so there is one sync, not many."""
    key_file = write_key(base)
    master = NodeProcess("master", "master", base, key_file)
    worker = NodeProcess("worker", "worker", base, key_file)
    try:
        await master.start()
        worker.port = master.port
        await worker.start()
        await worker.wait_until(lambda: worker.has_verdict_after(1))
        idle = _new_peak_mib(worker.pid)
        (base / "tree").rename(master.home / "tree")
        await worker.wait_until(lambda: bool(worker.said("applied")), 600)
        grown = {"first sync": _new_peak_mib(worker.pid) - idle}
        seen = worker.verdicts
        await worker.wait_until(lambda: worker.has_verdict_after(seen + _ROUNDS), 600)
        return grown | {"rounds in step": _new_peak_mib(worker.pid) - idle}
    finally:
        await worker.stop()
        await master.stop()


def _new_peak_mib(pid: int) -> float:
    """The largest resident size since the last call."""
    process = Path(f"/proc/{pid}")
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
    (process / "clear_refs").write_text("5")
    return int(line.split()[1]) / 1024
