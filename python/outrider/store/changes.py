"""Whether a node's own tree may have changed since it was last asked.

It says when to look, never what has changed: a scan does. Where nothing tells of changes, the interval of whoever
waits here is all there is.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from outrider._native import FilesTable
from outrider.logs import Tag, task_logger
from outrider.ports import Bursts, Threads, Watching
from outrider.settings import Settings


class Changes:
    """The changes of one tree that nobody has looked at yet."""

    def __init__(self, settings: Settings, table: FilesTable, threads: Threads) -> None:
        self._home: Path = settings.node.home.resolve()
        self._settings = settings.watch
        self._table = table
        self._threads = threads
        self._log = task_logger(Tag.LOCAL_WATCH, settings.node.name)
        self._fresh = asyncio.Event()
        self._bursts: Bursts | None = None
        self._told: str | None = None

    async def run(self, watching: Watching) -> None:
        """Watch until cancelled; it returns at once if the settings say so."""
        times = self._settings
        if not times.enabled:
            return
        async with watching.open(self._home, self._table, settle_s=times.settle_s, longest_s=times.longest_s) as bursts:
            self._bursts = bursts
            try:
                await self._follow(bursts)
            finally:
                self._bursts = None

    @property
    def complete(self) -> bool:
        """Whether no change can go by unnoticed, as far as the system tells."""
        return self._bursts is not None and self._bursts.reason is None

    async def come(self, within_s: float) -> bool:
        """Wait for a change, at most so long; whether one came. It counts as looked at from here on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._fresh.wait()
        came = self._fresh.is_set()
        self._fresh.clear()
        return came

    async def forget(self) -> None:
        """What was changed until now was this node's own doing."""
        if self._bursts is not None:
            await self._threads.run(self._bursts.forget)
        self._fresh.clear()

    async def _follow(self, bursts: Bursts) -> None:
        self._fresh.set()  # what changed before anyone watched
        while True:
            self._explain(bursts.reason)
            burst = await bursts.next()
            named = ", ".join(folder or "the home" for folder in burst.folders)
            self._log.debug("changed: %s%s", named, "; more may have" if burst.lost else "")
            self._fresh.set()

    def _explain(self, reason: str | None) -> None:
        """Say once what is not watched, and once that it is again."""
        if reason == self._told:
            return
        self._told = reason
        if reason is None:
            self._log.info("the whole tree is watched")
        else:
            self._log.warning("the tree is not watched as a whole, the interval finds the rest: %s", reason)
