"""One seed, one story: whether every invariant held, and the trace it left."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from tests.simulator.checks import BrokenError
from tests.simulator.light import TOUCHED
from tests.simulator.weather import Weather
from tests.simulator.world import World
from tests.support.loop import run

EVENTS = 6
_LONGEST_S = 2000
_STALE_S = 150


class Outcome(Struct, frozen=True):
    """Of one seed: what broke (empty: nothing), its trace, and what it cost."""

    seed: int
    broken: str
    trace: str
    messages: int
    virtual_s: float
    cpu_s: float


class _Defects(logging.Handler):
    """Collects what a node logs with a traceback: nothing of ours explains it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def _defects() -> Iterator[_Defects]:
    handler, log = _Defects(), logging.getLogger("outrider")
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        yield handler
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


async def _story(world: World) -> None:
    weather = Weather(world)
    for _ in range(3):
        weather.change()
    world.start()
    for _ in range(EVENTS):
        await weather.happen()
        world.check()
    await world.calm()
    if world.left_transfers():  # what a sender gave up goes when it has lain for long and the next file comes
        await asyncio.sleep(_STALE_S)
        weather.change()
        await world.calm()
        if left := world.left_transfers():
            raise BrokenError(f"transfers are left at {left}")
    world.check()
    await world.end()


def run_seed(folder: Path, seed: int) -> Outcome:
    """Run one seed below ``folder``, which is made and removed; inside :func:`tests.simulator.light.light`."""
    TOUCHED.clear()
    home = folder / f"seed{seed}"
    started = time.process_time()
    worlds: list[World] = []
    ended = [0.0]
    broken = ""

    async def whole() -> None:
        world = World(home, seed)
        worlds.append(world)
        try:
            async with asyncio.timeout(_LONGEST_S):
                await _story(world)
        finally:
            ended[0] = world.fabric.now()

    with _defects() as defects:
        try:
            run(whole())
        except Exception as error:  # noqa: BLE001  (whatever it is, this seed has failed)
            broken = f"{type(error).__name__}: {error}"
    if not broken and defects.found:
        broken = f"defects in the log: {'; '.join(defects.found)}"
    shutil.rmtree(home, ignore_errors=True)
    (world,) = worlds
    return Outcome(seed, broken, world.trace.hexdigest(), world.messages, ended[0], time.process_time() - started)
