"""One master and many workers on the fast path: how soon all see a change, and what a large tree costs the master.

A step is packed once, whoever asks for it: the master's CPU for many workers is compared with that for one. What
comes on top is TLS and the socket of each link.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path
from random import Random

from benches.cluster import Resident, cpu_of, disk, peak_mib, resident
from benches.rows import Row
from outrider.demo.processes import NodeProcess

_MIB = 1 << 20


def run(*, short: bool) -> list[Row]:
    """A small change to many, a large one to some."""
    workers, edits, tree = (4, 10, 1_000) if short else (25, 100, 10_000)
    with tempfile.TemporaryDirectory(dir=disk()) as base:
        rows = asyncio.run(_push(Path(base), workers, edits, tree))
    several, files, size = (2, 100, 64 * _MIB) if short else (10, 2_200, 2_150 * _MIB)
    with tempfile.TemporaryDirectory(dir=disk()) as base:
        rows += asyncio.run(_bulk(Path(base), several, files, size))
    return rows


async def _push(base: Path, workers: int, edits: int, files: int) -> list[Row]:
    def fill(home: Path) -> None:
        for number in range(files):
            file = home / "tree" / str(number // 100) / f"{number}.conf"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"file {number}\n" * 50)

    async with resident(base, fill, workers) as nodes:
        costs = [await _edit(nodes, number) for number in range(edits)]
    times = sorted(costs)
    name = f"1 file of {files:,} to {workers} workers, visible at all"
    return [
        Row(f"{name}, p50", statistics.median(times), "wanted", 1.0, ""),
        Row(f"{name}, p99", times[len(times) * 99 // 100], "wanted", 1.0, "p99 <= 1 s"),
    ]


async def _edit(nodes: Resident, number: int) -> float:
    path = Path("tree") / str(number % 10) / f"{number % 10 * 100 + number // 10}.conf"
    content = (nodes.master.home / path).read_bytes() + b"edit %d\n" % number
    fresh = nodes.master.home / "fresh"
    fresh.write_bytes(content)

    def there(worker: NodeProcess) -> bool:
        return (worker.home / path).stat().st_size == len(content)

    return (await nodes.cost(lambda: fresh.rename(nodes.master.home / path), there)).wall_s


async def _bulk(base: Path, workers: int, files: int, size: int) -> list[Row]:
    """The first sync of what hardly shrinks, to one worker and to several, on masters that begin alike."""
    spent, peaks = [], []
    for count in (1, workers):
        folder = base / str(count)
        async with resident(folder, lambda home: _noise(home, files, size), count) as nodes:
            spent.append(cpu_of(nodes.master.pid))
            peaks.append(peak_mib(nodes.master.pid))
    name = f"{size / 2**30:.1f} GiB in {files:,} files to {workers} workers"
    return [
        Row(f"{name}: the master's CPU", spent[1], "to one worker", spent[0], "<= 2x"),
        Row(f"{name}: the master's peak memory", peaks[1], "wanted", 256, "<= 256 MiB", "MiB"),
    ]


def _noise(home: Path, files: int, size: int) -> None:
    random = Random(3)
    for number in range(files):
        file = home / "tree" / str(number // 100) / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(random.randbytes(size // files))
