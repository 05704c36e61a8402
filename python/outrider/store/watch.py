"""Watched folders, as an event loop waits for them: one thread that sleeps until files change.

It decides nothing: :mod:`outrider.store.changes` knows what a change is good for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from outrider._native import Burst, FilesTable, Plan, Watcher

_TURN_S = 60.0
"""The thread comes up for air this often; a limit of the system that stood in the way is then tried again."""


class WatchedFolders:
    """The system's own notices."""

    @asynccontextmanager
    async def open(
        self, home: Path, table: FilesTable, *, settle_s: float, longest_s: float
    ) -> AsyncIterator[WatchedBursts]:
        """Watch from here to the end of the block; :class:`StoreError` if the home cannot be opened.

        The thread is one of its own: a wait may take days, and the node's others have work to do.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="outrider watch")
        loop = asyncio.get_running_loop()
        try:
            watcher = await loop.run_in_executor(
                thread, lambda: Watcher(str(home), table, settle_s=settle_s, longest_s=longest_s)
            )
            try:
                yield await WatchedBursts(watcher, thread).begun()
            finally:
                watcher.close()
        finally:
            thread.shutdown(wait=False)


class WatchedBursts:
    """See :class:`outrider.ports.Bursts`. The watcher is only asked in threads: it may be busy with a large tree."""

    def __init__(self, watcher: Watcher, thread: ThreadPoolExecutor) -> None:
        self.reason: str | None = None
        self._watcher = watcher
        self._thread = thread

    async def begun(self) -> Self:
        """These, once it is known what is not watched."""
        await self._turn(0.0)
        return self

    async def next(self) -> Burst:
        """Wait for the next burst."""
        while (burst := await self._turn(_TURN_S)) is None:
            pass
        return burst

    def begin(self) -> None:
        """Keep apart what is changed from here on."""
        self._watcher.begin()

    def end(self, plan: Plan | None) -> None:
        """Tell of it what is not in ``plan``."""
        self._watcher.end(plan)

    async def _turn(self, seconds: float) -> Burst | None:
        def turn() -> tuple[Burst | None, str | None]:
            return self._watcher.wait(seconds), self._watcher.reason

        burst, self.reason = await asyncio.get_running_loop().run_in_executor(self._thread, turn)
        return burst
