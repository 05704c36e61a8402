"""The first sync of 10,000 files (98 MB), end to end on tmpfs: a master and a worker as real processes.

Timed by the worker from the start of its round (scan, check, verdict) to the end of its apply, as
it logs it: what lies before is Python starting. The peers: ``rsync -a`` from a daemon over
loopback, in the same run; and 3.06 s, the figure of 4.9.2 without its polling pauses, which cannot
be run here and is quoted.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sysconfig
import tempfile
from pathlib import Path
from random import Random

from benches.cluster import write_key
from benches.peers import rsync
from benches.rows import Row
from outrider.demo.processes import NodeProcess

_ORIGINAL_S = 3.06


def run(*, short: bool) -> list[Row]:
    """First sync."""
    count, runs = (2_000, 1) if short else (10_000, 3)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        source = Path(base) / "source"
        make_tree(source / "tree", count, total=98_000_000 * count // 10_000)
        ours = [asyncio.run(_first_sync(Path(base) / f"run{number}", source)) for number in range(runs)]
        theirs = [_rsync(Path(base), source / "tree", number) for number in range(runs)]
    name = f"first sync of {count:,} files"
    rows = [Row(name, statistics.median(ours), "rsync -a", statistics.median(theirs), "as near as can be")]
    if not short:
        rows.append(Row(name, statistics.median(ours), "4.9.2, quoted", _ORIGINAL_S, "<= 1.25 s"))
    return rows


def make_tree(root: Path, count: int, total: int) -> None:
    """Files of realistic sizes (many small, few large), cut from real text: the sources of the standard library."""
    random = Random(1)
    text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    doubled = memoryview(text * 2)
    weights = [random.lognormvariate(0, 1.2) for _ in range(count)]
    scale = total / sum(weights)
    for number, weight in enumerate(weights):
        path = root / f"group{number % 100:02}" / f"file{number:06}.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(weight * scale)
        start = random.randrange(len(text))
        path.write_bytes(doubled[start : start + size])


async def _first_sync(base: Path, source: Path) -> float:
    key_file = write_key(base)
    master = NodeProcess("master", "master", base, key_file)
    worker = NodeProcess("worker", "worker", base, key_file)
    shutil.copytree(source / "tree", master.home / "tree")
    await master.start()
    worker.port = master.port
    await worker.start()
    await worker.wait_until(lambda: worker.has_verdict_after(0))
    seconds = worker.round_seconds
    for line in (*master.said("sent"), *worker.said("applied")):
        print(f"  {line}")
    await worker.stop()
    await master.stop()
    shutil.rmtree(base)
    return seconds


def _rsync(base: Path, tree: Path, number: int) -> float:
    target = base / f"rsync{number}"
    seconds = rsync(base, tree, target, "-a").wall_s
    shutil.rmtree(target)
    return seconds
