"""How much a worker grows over idle when its tree has 100,000 files: the first sync, then the rounds in step.

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
_ROUNDS = 3


def run(*, short: bool) -> list[Row]:
    """One first sync of many files, and the rounds after it."""
    count = 10_000 if short else 100_000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        make_tree(Path(base) / "tree", count, count * 2_000)
        grown = asyncio.run(_growth(Path(base)))
    for phase, mib in grown.items():
        print(f"  {phase}: {mib:.1f} MiB above idle")
    return [Row(f"MiB above idle with {count:,} files", max(grown.values()), "allowed", _ALLOWED_MIB, ">= 1x")]


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
