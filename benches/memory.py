"""How much a worker grows over idle when its tree has 100,000 files: the scan, the check, the apply.

Not a time: the row's figures are MiB. The first is the growth of the worker's largest resident size
over what it was while idle with an empty tree; the second is what is allowed.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benches.rows import Row
from benches.sync import make_tree, write_key
from outrider.demo.processes import NodeProcess

_ALLOWED_MIB = 64


def run(*, short: bool) -> list[Row]:
    """One first sync of many files, and the rounds after it."""
    count = 10_000 if short else 100_000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        grown = asyncio.run(_growth(Path(base), count))
    return [Row(f"MiB above idle with {count:,} files", grown, "allowed", _ALLOWED_MIB, ">= 1x")]


async def _growth(base: Path, count: int) -> float:
    key_file = write_key(base)
    master = NodeProcess("master", "master", base, key_file)
    worker = NodeProcess("worker", "worker", base, key_file)
    try:
        await master.start()
        worker.port = master.port
        await worker.start()
        await worker.wait_until(lambda: worker.has_verdict_after(1))
        idle = _peak_mib(worker.pid)
        await asyncio.to_thread(make_tree, master.home / "tree", count, count * 2_000)
        await worker.wait_until((worker.home / "tree").is_dir, 600)
        seen = worker.verdicts
        await worker.wait_until(lambda: worker.has_verdict_after(seen + 3), 600)
        return _peak_mib(worker.pid) - idle
    finally:
        await worker.stop()
        await master.stop()


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
