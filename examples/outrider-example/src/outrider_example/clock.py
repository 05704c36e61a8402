"""A kind of synchronisation: workers learn how far their clocks are from their master's.

A worker asks for the time and takes the answer to be as old as half the round trip, which bounds the error. The master
tells all workers when its own clock was set, so that they look at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from outrider import (
    Command,
    Half,
    Kind,
    LinkGround,
    NodeGround,
    OutriderError,
    RefusedByPeer,
    Reply,
    Talk,
    To,
    stateless,
)
from outrider.exchange.session import Serve
from outrider.kinds.interface import Task
from outrider.logs import task_logger
from outrider.status import Outcome
from outrider.supervise import within

ASK = Command(b"clock_ask", To.MASTER, "what time is it?")
SET = Command(b"clock_set", To.WORKER, "the master's clock was set")
_LOOK_S = 1.0


class Options(Struct, frozen=True):
    """The section ``[kinds.clock]``, beside ``interval``."""

    warn_s: Annotated[float, Meta(gt=0)] = 1.0


class Time(Struct, frozen=True):
    """The answer to ``clock_ask``, as JSON: the master's clock in Unix seconds."""

    now: float


class WorkerClock(Talk):
    """The worker's part of one connection: asks, and records what comes of it."""

    def __init__(self, link: LinkGround) -> None:
        self._session = link.session
        self._status = link.status
        self._ports = link.node.ports
        self._interval_s = link.node.interval_s
        self._warn_s = link.node.options.warn_s
        self._log = task_logger("Clock", link.node.node.name)
        self._look = asyncio.Event()

    def serves(self) -> Mapping[Command, Serve]:
        """The master's one command."""
        return {SET: self._was_set}

    def tasks(self) -> Sequence[Task]:
        """Rounds."""
        return [("clock", self.run)]

    async def run(self) -> None:
        """Compare the clocks at the interval, until the connection ends; a master without this kind is told of once."""
        while True:
            self._look.clear()
            try:
                await self._compare()
            except RefusedByPeer as refusal:
                self._log.warning("the master does not compare clocks: %s", refusal)
                return
            await within(self._interval_s, self._look.wait())

    def _was_set(self, _: bytes) -> Reply:
        self._look.set()
        return Reply(b"Thanks")

    async def _compare(self) -> None:
        before = self._ports.now()
        answer = await self._session.request(ASK)
        after = self._ports.now()
        trip_s = after.monotonic - before.monotonic
        offset_s = msgspec.json.decode(answer, type=Time).now - (before.wall + after.wall) / 2
        wrong = abs(offset_s) > self._warn_s + trip_s / 2
        if wrong:
            self._log.warning("this clock is %+.3f s off the master's", -offset_s)
        outcome = Outcome(
            ok=not wrong,
            started=before.wall,
            seconds=trip_s,
            counts={"off_ms": round(-offset_s * 1000)},
            detail="the clock is off" if wrong else "",
        )
        self._status.finished("clock", outcome)


class MasterClock(Half["AskedClock"]):
    """The master's half: knows all workers, and tells them when the clock was set."""

    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        self.ports = ground.ports
        self._warn_s = ground.options.warn_s
        self._log = task_logger("Clock", ground.node.name)

    def talk(self, link: LinkGround) -> AskedClock:
        """One worker."""
        return AskedClock(link, self)

    def tasks(self) -> Sequence[Task]:
        """A look at the clock itself."""
        return [("clock", self.run)]

    async def run(self) -> None:
        """Wall time and monotonic time run at one speed, unless somebody sets the first."""
        apart_s = self._apart_s()
        while True:
            await self.ports.sleep(_LOOK_S)
            if abs(self._apart_s() - apart_s) > self._warn_s:
                self._log.warning("the clock was set by %+.3f s", self._apart_s() - apart_s)
                for talk in list(self.talks.values()):
                    await talk.tell()
            apart_s = self._apart_s()

    def _apart_s(self) -> float:
        now = self.ports.now()
        return now.wall - now.monotonic


class AskedClock(Talk):
    """The master's part of one connection."""

    def __init__(self, link: LinkGround, half: MasterClock) -> None:
        self._session = link.session
        self._half = half
        self._log = task_logger("Clock", link.node.node.name)

    def serves(self) -> Mapping[Command, Serve]:
        """A worker's one question."""
        return {ASK: lambda _: Reply(msgspec.json.encode(Time(self._half.ports.wall())))}

    async def tell(self) -> None:
        """Have the worker look at once; one that cannot be told looks at its interval."""
        try:
            await self._session.request(SET)
        except OutriderError as error:
            self._log.debug("%s was not told: %s", self._session.worker, error)


kind = Kind(
    name="clock",
    commands=(ASK, SET),
    interval_s=60,
    options=Options,
    worker=stateless(WorkerClock),
    master=MasterClock,
)
