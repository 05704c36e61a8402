"""Whether a node's own tree may have changed since it was last asked.

It says when to look, never what has changed: a scan does. Where nothing tells of changes, the interval of whoever
waits here is all there is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outrider._native import FilesTable, Plan
from outrider.logs import Tag, task_logger
from outrider.ports import Bursts, Watching
from outrider.settings import Live, Watch


class Own:
    """What a node did to its own tree; ``plan`` stays ``None`` if that came to nothing."""

    plan: Plan | None = None


class Changes:
    """The changes of one tree that nobody has looked at yet."""

    def __init__(self, live: Live, table: FilesTable) -> None:
        self._home: Path = live.now.node.home.resolve()
        self._live = live
        self._table = table
        self._log = task_logger(Tag.LOCAL_WATCH, live.now.node.name)
        self._fresh = False
        self._stirred = asyncio.Event()  # of whoever waits now
        live.when_changed(self._stir)
        self._bursts: Bursts | None = None
        self._told: str | None = None

    async def run(self, watching: Watching) -> None:
        """Watch until cancelled, as the settings say, or do not."""
        while True:
            times = self._live.now.watch
            if times.enabled:
                await self._watch(watching, times)
            else:
                await self._live.change()

    async def _watch(self, watching: Watching, times: Watch) -> None:
        """Until the settings say something else of it."""
        settle_s, longest_s = times.settle_s, times.longest_s
        async with watching.open(self._home, self._table, settle_s=settle_s, longest_s=longest_s) as bursts:
            self._bursts = bursts
            ends = [asyncio.ensure_future(self._follow(bursts)), asyncio.ensure_future(self._others(times))]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._bursts = None
                for one in ends:
                    one.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
            for one in ends:
                if not one.cancelled():
                    one.result()

    async def _others(self, times: Watch) -> None:
        while self._live.now.watch == times:
            await self._live.change()

    @property
    def complete(self) -> bool:
        """Whether no change can go by unnoticed, as far as the system tells."""
        return self._bursts is not None and self._bursts.reason is None

    async def come(self, within_s: float) -> bool:
        """Wait for a change, at most so long; whether one came. It counts as looked at from here on.

        It ends without one as well when the settings are others: who waits by them may want to wait for less.
        """
        if not self._fresh:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._stirred.wait()
        came, self._fresh = self._fresh, False
        return came

    @contextmanager
    def own(self) -> Iterator[Own]:
        """In this block, in a thread, the node itself changes the tree: what :class:`Own` says of it needs no look."""
        own, bursts = Own(), self._bursts
        if bursts is not None:
            bursts.begin()
        try:
            yield own
        finally:
            if bursts is not None:
                bursts.end(own.plan)

    async def _follow(self, bursts: Bursts) -> None:
        self._tell()  # what changed before anyone watched
        while True:
            self._explain(bursts.reason)
            burst = await bursts.next()
            named = ", ".join(folder or "the home" for folder in burst.folders)
            self._log.debug("changed: %s%s", named, "; more may have" if burst.lost else "")
            self._tell()

    def _tell(self) -> None:
        self._fresh = True
        self._stir()

    def _stir(self) -> None:
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    def _explain(self, reason: str | None) -> None:
        """Say once what is not watched, and once that it is again."""
        if reason == self._told:
            return
        self._told = reason
        if reason is None:
            self._log.info("the whole tree is watched")
        else:
            self._log.warning("the tree is not watched as a whole, the interval finds the rest: %s", reason)
