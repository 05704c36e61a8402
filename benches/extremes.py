"""What is far from usual on the fast path: one very large file, and very many small ones.

The first sync of each, and then one change: some bytes of the large file, one of the small files. The small ones lie on
tmpfs, since a disk makes a million inodes for minutes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from random import Random
from unittest.mock import patch

from benches.cluster import Resident, disk, peak_mib, resident
from benches.rows import Row
from outrider.demo.processes import NodeProcess

_MIB = 1 << 20
_LIMITS = {
    f"OUTRIDER_{what}_BYTES": str(64 << 30)
    for what in ("LIMITS__UNPACKED_FILE", "LIMITS__UNPACKED_TOTAL", "GENERATIONS__KEEP")
}
"""By default no file above 4 GiB is taken, and no generation kept that takes more."""


def run(*, short: bool) -> list[Row]:
    """A large file on disk, small ones on tmpfs."""
    size, files = (256 * _MIB, 20_000) if short else (5 * 1024 * _MIB, 1_000_000)
    with tempfile.TemporaryDirectory(dir=disk()) as base, patch.dict(os.environ, _LIMITS):
        rows = asyncio.run(_large(Path(base), size))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        rows += asyncio.run(_many(Path(base), files))
    return rows


async def _large(base: Path, size: int) -> list[Row]:
    block = Random(5).randbytes(16 * _MIB)

    def fill(home: Path) -> None:
        (home / "tree").mkdir()
        with (home / "tree" / "large").open("wb") as file:
            for number in range(size // len(block)):
                file.write(number.to_bytes(8, "big") + block[8:])

    async with resident(base, fill) as nodes:

        def change() -> None:
            with (nodes.master.home / "tree" / "large").open("r+b") as file:
                file.seek(size // 2)
                file.write(b"changed here")

        def there(worker: NodeProcess) -> bool:
            with (worker.home / "tree" / "large").open("rb") as file:
                file.seek(size // 2)
                return file.read(12) == b"changed here"

        first, then = nodes.first, await nodes.cost(change, there)
        name = f"a file of {size / 2**30:.2g} GiB"
        return [
            Row(f"{name}, first sync", first.wall_s, "a copy by hand", _copied(base), ""),
            Row(f"{name}, 12 bytes changed", then.wall_s, "first sync", first.wall_s, ""),
            Row(f"{name}, 12 bytes changed", then.sent / 1e3, "the whole", first.sent / 1e3, "", "KB"),
            *_peaks(nodes, name, 256),
        ]


def _copied(base: Path) -> float:
    source = base / "master" / "tree" / "large"
    started = time.perf_counter()
    with source.open("rb") as file, (base / "copy").open("wb") as copy:
        while part := file.read(_MIB):
            copy.write(part)
    return time.perf_counter() - started


async def _many(base: Path, files: int) -> list[Row]:
    def fill(home: Path) -> None:
        for number in range(files):
            file = home / "tree" / f"{number // 1000:04}" / f"{number:07}.conf"
            if not number % 1000:
                file.parent.mkdir(parents=True)
            file.write_bytes(b"file %d\n" % number)

    async with resident(base / "idle", _one) as nodes:
        idle = _peak(nodes)
    async with resident(base / "full", fill) as nodes:
        path = Path("tree/0000/0000007.conf")
        fresh = nodes.master.home / "fresh"
        fresh.write_bytes(b"changed, and longer than before\n")

        def there(worker: NodeProcess) -> bool:
            return (worker.home / path).stat().st_size == 32

        then = await nodes.cost(lambda: fresh.rename(nodes.master.home / path), there)
        name = f"{files:,} small files"
        taken = _peak(nodes) - idle
        return [
            Row(f"{name}, one changed", then.wall_s, "first sync", nodes.first.wall_s, ""),
            Row(f"{name}, memory an entry", taken * _MIB / files, "wanted", 400, "<= 400 B", "B"),
        ]


def _one(home: Path) -> None:
    (home / "tree").mkdir()
    (home / "tree" / "0.conf").write_bytes(b"alone\n")


def _peak(nodes: Resident) -> float:
    """Of the node that took most, in MiB."""
    return max(peak_mib(node.pid) for node in (nodes.master, nodes.workers[0]))


def _peaks(nodes: Resident, name: str, most: float) -> list[Row]:
    ends = (("master", nodes.master), ("worker", nodes.workers[0]))
    return [Row(f"{name}, peak of the {role}", peak_mib(node.pid), "wanted", most, "", "MiB") for role, node in ends]
