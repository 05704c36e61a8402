"""The ports of a simulated node: virtual time, seeded chance, threads that are none, a network in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import ParamSpec, TypeVar

from tests.support.loop import EPOCH
from tests.support.network import Fabric

from outrider._native import FilesTable, Plan
from outrider.ports import Burst, Ports

P = ParamSpec("P")
T = TypeVar("T")


class InlineThreads:
    """Runs the work at once, but as a later step, as a thread's result would come; ``seconds`` is how long it takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls: list[str] = []

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls.append(getattr(work, "__name__", type(work).__name__))
        await asyncio.sleep(self.seconds)
        return work(*args, **kwargs)


class Highest(Random):
    """Chance that always takes the upper end, so that a pause is as long as it may be."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class ScriptedBurst:
    """Changes that a test tells of."""

    def __init__(self, *folders: str, lost: bool = False) -> None:
        self.folders = list(folders)
        self.lost = lost


class ScriptedWatch:
    """Watches nothing: a test tells what it would have seen. One block at a time."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.opened = 0
        self.own = 0
        self.plans: list[Plan | None] = []
        self._bursts: list[Burst] = []
        self._told = asyncio.Event()

    @asynccontextmanager
    async def open(
        self, home: Path, table: FilesTable, *, settle_s: float, longest_s: float
    ) -> AsyncIterator[ScriptedWatch]:
        self.asked = (home, table, settle_s, longest_s)
        self.opened += 1
        try:
            yield self
        finally:
            self.opened -= 1

    def tell(self, *folders: str, lost: bool = False) -> None:
        """Something was changed in these folders."""
        self._bursts.append(ScriptedBurst(*folders, lost=lost))
        self._told.set()

    async def next(self) -> Burst:
        while not self._bursts:
            self._told.clear()
            await self._told.wait()
        return self._bursts.pop(0)

    def begin(self) -> None:
        self.own += 1

    def end(self, plan: Plan | None) -> None:
        self.plans.append(plan)


def simulated_ports(fabric: Fabric, address: str, seed: int = 0, *, random: Random | None = None) -> Ports:
    """The world of the node at ``address``; call it inside a running :class:`tests.support.loop.VirtualLoop`."""
    loop = asyncio.get_running_loop()
    return Ports(
        monotonic=loop.time,
        wall=lambda: EPOCH + loop.time(),
        cpu=lambda: 0.0,
        random=random or Random(f"{seed} {address}"),
        threads=InlineThreads(),
        network=fabric.host(address),
        watching=ScriptedWatch(),
        sleep=asyncio.sleep,
    )
