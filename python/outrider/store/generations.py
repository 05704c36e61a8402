"""The master's last trees, kept on disk: numbers, roots, manifests and compressed contents; off the event loop.

It never decides what a worker gets; it says what stands under a root, and what it does not keep it says it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, Protocol, TypeVar

from outrider._native import Generation, Generations, Manifest
from outrider.errors import SyncError
from outrider.ports import Threads
from outrider.store.tree import FileTree

__all__ = ["Generation", "GenerationStore", "open_generations"]

_LINEAGE_BYTES = 16

P = ParamSpec("P")
T = TypeVar("T")


class Kept(Protocol):
    """What a sweep leaves."""

    @property
    def keep(self) -> int:
        """Generations."""
        ...

    @property
    def keep_bytes(self) -> int:
        """Bytes on disk."""
        ...


class GenerationStore:
    """The generations of one home. All methods run in threads that let Python go on."""

    def __init__(self, native: Generations, threads: Threads, kept: Callable[[], Kept]) -> None:
        self._native: Generations | None = native
        self._kept = kept
        self.lineage = native.lineage.hex()
        """32 hex digits that tell this store from another, whose numbers mean nothing here."""
        self._threads = threads
        self._running: set[asyncio.Future[Any]] = set()

    @property
    def native(self) -> Generations:
        """The store itself, for what else of the native core reads it; only in threads.

        :class:`SyncError` if it is closed.
        """
        if self._native is None:
            raise SyncError("the store is closed")
        return self._native

    @property
    def damaged(self) -> int:
        """What was found damaged on disk since the store was opened, and is not kept any more."""
        return self.native.damaged

    async def list(self) -> list[Generation]:
        """All generations, oldest first."""
        return await self._run(self.native.list)

    async def latest(self) -> Generation | None:
        """The latest generation."""
        return await self._run(self.native.latest)

    async def find(self, root: str) -> int | None:
        """The number of the latest generation with this root, 128 hex digits."""
        return await self._run(self.native.find, root)

    async def manifest(self, number: int) -> Manifest | None:
        """The manifest of a generation, if it is kept and whole."""
        return await self._run(self.native.manifest, number)

    async def add(self, tree: FileTree, manifest: Manifest, time: float) -> Generation:
        """Make what ``tree`` holds the latest generation, durably; ``time`` in Unix seconds is that of the scan.

        :class:`SyncError` if a file changed since: scan again. :class:`StoreError` for the disk. Nothing is added then.
        """
        return await self._run(self.native.add, tree.native, manifest, time)

    async def sweep(self) -> int:
        """Bring the store back to its limits; slow now and then, so it comes after everything that waits."""
        return await self._run(self.native.sweep)

    def follow(self) -> None:
        """Keep as much as is told now, from the next sweep on."""
        kept = self._kept()
        if self._native is not None:
            self._native.limit(count=kept.keep, max_bytes=kept.keep_bytes)

    async def settled(self) -> None:
        """Wait for work that goes on although its caller was cancelled: a thread cannot be stopped."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Give the folder back when no work on it goes on; nothing is added after that."""
        await self.settled()
        await self._threads.run(self.native.close)
        self._native = None  # whoever still knows this store keeps no file of it open

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        running = asyncio.ensure_future(self._threads.run(work, *args, **kwargs))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)


@asynccontextmanager
async def open_generations(
    home: Path, threads: Threads, chance: Random, kept: Callable[[], Kept]
) -> AsyncIterator[GenerationStore]:
    """Open the store of ``home`` for the one node that runs there; it is given back when no work on it goes on.

    ``kept`` says what a sweep leaves. ``chance`` gives a new store its lineage.
    """
    store = await _opened(home, threads, chance.randbytes(_LINEAGE_BYTES), kept)
    try:
        yield store
    finally:
        await store.close()


async def _opened(home: Path, threads: Threads, lineage: bytes, kept: Callable[[], Kept]) -> GenerationStore:
    now = kept()
    native = await threads.run(Generations, str(home), count=now.keep, max_bytes=now.keep_bytes, lineage=lineage)
    return GenerationStore(native, threads, kept)
