"""The fast path on whole trees: a first sync, nothing changed, one file, 1% and 10% of them, beside ``rsync -az``.

Both ends stay, as they do in a cluster; rsync starts anew each time, as it does in one. A change counts from its last
rename to the moment at which the worker has every changed file, applied durably. All lies on a real disk.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from benches import chart
from benches.cluster import Cost, Resident, disk, peak_mib, resident
from benches.peers import rsync
from benches.rows import Row
from benches.sync import make_tree
from outrider.demo.processes import NodeProcess

_MOST_MIB = 256.0
"""What a node may take whatever it syncs."""
_CHART = Path(__file__).parents[1] / "docs" / "speed.svg"


def run(*, short: bool) -> list[Row]:
    """One tree in the short run, two in the long one."""
    rows: list[Row] = []
    for count, runs in ((1_000, 1),) if short else ((10_000, 5), (50_000, 1)):
        with tempfile.TemporaryDirectory(dir=disk()) as base:
            found = asyncio.run(_Tree(Path(base), count, runs).rows())
            if not rows and not short:
                shown = [row for row in found if row.peer == "rsync -az" and "CPU" not in row.name]
                _CHART.write_text(chart.svg(shown, "Outrider beside rsync -az: time and bytes (logarithmic)"), "utf-8")
            rows += found
    return rows


class _Tree:
    """One tree through its life."""

    def __init__(self, base: Path, count: int, runs: int) -> None:
        self._base, self._runs = base, runs
        self._count = count
        self._random = Random(7)
        self._tree, self._mirror = base / "master" / "tree", base / "mirror"
        self._rows: list[Row] = []
        self._edits = 0

    async def rows(self) -> list[Row]:
        """All of it, with one master and one worker."""

        def fill(home: Path) -> None:
            make_tree(home / "tree", self._count, total=8_400 * self._count)

        async with resident(self._base, fill) as nodes:
            theirs = rsync(self._base, self._tree, self._mirror, "-az", "--fsync")
            self._add("first sync", [nodes.first], [theirs], "<= 1.25x the time, fewer bytes")
            await self._idle(nodes)
            await self._changes(nodes, 1, "1 file", "<= 1,000 bytes")
            await self._changes(nodes, self._count // 100, "1%", "<= 1/4 of the time, <= 25 KB")
            await self._changes(nodes, self._count // 10, "10%", "<= 1/2 of the time, <= 200 KB")
            await self._push(nodes)
            for role, node in (("master", nodes.master), ("worker", nodes.workers[0])):
                peak = peak_mib(node.pid)
                self._row(f"peak memory of the {role}", (peak, _MOST_MIB), "", unit="MiB", peer="wanted of bulk")
        return self._rows

    async def _idle(self, nodes: Resident) -> None:
        """A file of the worker is written again as it was: it looks, and asks."""
        theirs = rsync(self._base, self._tree, self._mirror, "-az")
        tree = nodes.workers[0].home / "tree"
        path = next(tree.rglob("*.conf"))

        def again() -> None:
            fresh = tree.parent / "fresh"
            fresh.write_bytes(path.read_bytes())
            fresh.rename(path)

        cost = await nodes.cost(again, lambda _: True)
        self._row("nothing changed: bytes both ways", (cost.sent, theirs.sent), "<= 200", unit="B")

    async def _changes(self, nodes: Resident, files: int, share: str, wanted: str) -> None:
        ours, theirs = [], []
        for _ in range(self._runs):
            ours.append(await nodes.cost(*self._edit(files)))
            theirs.append(rsync(self._base, self._tree, self._mirror, "-az"))
        self._add(f"{share} changed, a line each", ours, theirs, wanted)

    async def _push(self, nodes: Resident) -> None:
        """How long one edit takes to be seen, often."""
        times = [(await nodes.cost(*self._edit(1))).wall_s for _ in range(20 * self._runs)]
        self._row("1 file, visible at p50", (statistics.median(times), 0.05), "<= 50 ms", peer="wanted")
        self._row("1 file, visible at p99", (_percentile(times), 0.2), "<= 200 ms", peer="wanted")

    def _edit(self, files: int) -> tuple[Callable[[], None], Callable[[NodeProcess], bool]]:
        """Add a line to some files: what renames them into place, and whether a worker has them all."""
        fresh = self._base / "fresh"
        fresh.mkdir(exist_ok=True)
        new: dict[Path, Path] = {}
        for path in self._random.sample(sorted(self._tree.rglob("*.conf")), files):
            self._edits += 1
            content = path.read_bytes()
            at = content.find(b"\n", len(content) // 2) + 1
            new[path] = fresh / path.name
            new[path].write_bytes(content[:at] + b"edit %d of this file\n" % self._edits + content[at:])
        sizes = {path.relative_to(self._tree): file.stat().st_size for path, file in new.items()}

        def change() -> None:
            for path, file in new.items():
                file.rename(path)

        def there(worker: NodeProcess) -> bool:
            return all((worker.home / "tree" / path).stat().st_size == size for path, size in sizes.items())

        return change, there

    def _add(self, what: str, ours: list[Cost], theirs: list[Cost], wanted: str) -> None:
        median = statistics.median
        wall, cpu, sent = ((median(one[at] for one in ours), median(one[at] for one in theirs)) for at in range(3))
        self._row(what, wall, wanted)
        self._row(f"{what}: CPU of both ends", cpu, "")
        self._row(f"{what}: bytes", (sent[0] / 1e3, sent[1] / 1e3), wanted, unit="KB")

    def _row(
        self, what: str, figures: tuple[float, float], wanted: str, *, unit: str = "s", peer: str = "rsync -az"
    ) -> None:
        ours, theirs = figures
        self._rows.append(Row(f"{self._count:,} files, {what}", ours, peer, theirs, wanted, unit))


def _percentile(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
