"""Watched folders, as an event loop waits for them: one thread that sleeps until files change.

It decides nothing: :mod:`outrider.store.changes` knows what a change is good for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from outrider._native import Burst, FilesTable, Watcher

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
                yield WatchedBursts(watcher, thread)
            finally:
                watcher.close()
        finally:
            thread.shutdown(wait=False)


class WatchedBursts:
    """See :class:`outrider.ports.Bursts`."""

    def __init__(self, watcher: Watcher, thread: ThreadPoolExecutor) -> None:
        self._watcher = watcher
        self._thread = thread

    @property
    def reason(self) -> str | None:
        """Why a part of the tree, or all of it, is not watched, and what to do."""
        return self._watcher.reason

    async def next(self) -> Burst:
        """Wait for the next burst."""
        loop = asyncio.get_running_loop()
        while True:
            burst = await loop.run_in_executor(self._thread, self._watcher.wait, _TURN_S)
            if burst is not None:
                return burst

    def forget(self) -> None:
        """Tell nothing of what was changed until now."""
        self._watcher.forget()
