"""A master and three workers through faults drawn by chance: every seed ends in step, and no tree is ever torn.

``OUTRIDER_SEEDS=1000`` runs more of them; a seed that fails is repeated by its number alone.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.generations import Generations

from outrider.master import Master
from outrider.worker import Worker

SEEDS = int(os.environ.get("OUTRIDER_SEEDS", "8"))
NAMES = ("worker1", "worker2", "worker3")
QUICK = {
    "intervals.worker.sync_integrity": 15,
    "intervals.worker.keep_alive": 10,
    "intervals.worker.connection_retry": 5,
    "intervals.master.check_worker_lastkeepalive": 20,
    "intervals.master.max_allowed_time_without_keepalive": 40,
}


class Weather:
    """What may happen, one thing at a time."""

    def __init__(self, cluster: Cluster, generations: Generations) -> None:
        self.cluster = cluster
        self.generations = generations
        self.random = Random(cluster.seed)
        self.master: Master | None = None
        self.workers: dict[str, Worker] = {}
        self.ever: dict[str, set[bytes]] = defaultdict(set)
        self._version = 0

    async def begin(self) -> None:
        self.change()
        self.master = await self.cluster.master(QUICK)
        for name in NAMES:
            self.workers[name] = self.cluster.worker(name, QUICK)

    async def happen(self) -> None:
        """One thing, and a while in which it shows."""
        things = (self.change, self.remove, self.cut, self.freeze, self.part, self.thicken)
        if self.random.random() < 0.2:
            await self.restart()
        else:
            self.random.choice(things)()
        await asyncio.sleep(self.random.expovariate(1 / 8))
        if self.random.random() < 0.3:
            self.cluster.fabric.heal()

    async def calm(self) -> None:
        self.cluster.fabric.heal()
        self.cluster.fabric.loss = self.cluster.fabric.jitter = 0
        if self.master is None:
            self.master = await self.cluster.master(QUICK)
        await self.cluster.until(lambda: self.cluster.in_step(*NAMES), within_s=400)

    def change(self) -> None:
        self._version += 1
        files = {
            f"tree/{self.random.randrange(5)}/{self.random.randrange(20)}": b"%d " % self._version
            + self.random.randbytes(self.random.randrange(20_000))
            for _ in range(self.random.randrange(1, 10))
        }
        for path, content in files.items():
            self.ever[path].add(content)
        self.cluster.write("master", files)
        self.generations.changed()

    def remove(self) -> None:
        there = list(self.cluster.tree("master"))
        for path in self.random.sample(there, len(there) // 3):
            (self.cluster.home("master") / path).unlink()
        self.generations.changed()

    def cut(self) -> None:
        self.cluster.fabric.cut(self._somebody())

    def freeze(self) -> None:
        self.cluster.fabric.freeze(self._somebody())

    def part(self) -> None:
        self.cluster.fabric.partition(MASTER, self.cluster.address(self.random.choice(NAMES)))

    def thicken(self) -> None:
        self.cluster.fabric.loss = self.random.choice((0, 0.1, 0.5))
        self.cluster.fabric.jitter = self.random.choice((0, 0.05, 1.0))

    async def restart(self) -> None:
        if self.random.random() < 0.3 and self.master is not None:
            await self.cluster.stop(self.master)
            self.master = await self.cluster.master(QUICK)
        else:
            name = self.random.choice(NAMES)
            await self.cluster.stop(self.workers[name])
            self.workers[name] = self.cluster.worker(name, QUICK)

    def torn(self) -> list[str]:
        """Files of workers that never were the master's."""
        return [
            f"{name}: {path}"
            for name in NAMES
            for path, content in self.cluster.tree(name).items()
            if content not in self.ever[path]
        ]

    def _somebody(self) -> str:
        return self.random.choice((MASTER, *map(self.cluster.address, NAMES)))


@pytest.mark.parametrize("link", ["base", "extended"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_threat_50_whatever_happens_each_apply_makes_a_state_of_the_masters_and_in_the_end_all_are_in_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, link: str
) -> None:
    async def story(cluster: Cluster) -> None:
        generations = Generations(cluster, monkeypatch)
        weather = Weather(cluster, generations)
        await weather.begin()
        for _ in range(25):
            await weather.happen()
            assert weather.torn() == generations.wrong == []
        await weather.calm()
        assert weather.torn() == []
        await asyncio.sleep(150)  # what a sender gave up goes when the next file comes
        weather.change()
        await weather.calm()
        assert generations.wrong == []
        assert generations.exact >= len(NAMES)
        await cluster.until(lambda: not any(cluster.transfers(name) for name in ("master", *NAMES)), within_s=30)

    simulate(tmp_path, story, seed, link=link)
