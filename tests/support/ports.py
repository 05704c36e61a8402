"""The ports of a simulated node: virtual time, seeded chance, threads that are none, a network in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import ParamSpec, TypeVar

from tests.support.loop import EPOCH
from tests.support.network import Fabric

from outrider.ports import Ports

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


def simulated_ports(fabric: Fabric, address: str, seed: int = 0, *, random: Random | None = None) -> Ports:
    """The world of the node at ``address``; call it inside a running :class:`tests.support.loop.VirtualLoop`."""
    loop = asyncio.get_running_loop()
    return Ports(
        monotonic=loop.time,
        wall=lambda: EPOCH + loop.time(),
        random=random or Random(f"{seed} {address}"),
        threads=InlineThreads(),
        network=fabric.host(address),
        sleep=asyncio.sleep,
    )
