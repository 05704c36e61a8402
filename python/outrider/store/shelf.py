"""Bundles on their way to workers: each is packed once, and read by any number of them while it is packed.

A small one stays in memory, a larger one lies in a file, which is open only while it is written or read. What nobody
has read for longest goes first when the shelf is full: a master makes a step for each of its generations, for as long
as it lives. The folder is emptied at the start: a bundle is made again in a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

from outrider.errors import OutriderError, StoreError
from outrider.ports import Threads
from outrider.store.home import FOLDER_MODE, remove

_AT_ONCE_BYTES: Final = 1 << 20
_IN_MEMORY_BYTES: Final = 64 * 1024
_MOST_BUNDLES: Final = 128
"""However small they are: 8 MiB at most, and what is known of each. Workers ask for steps to the tree of now, from the
few trees at which they stand; an older step is read on by those who have begun, and keeps its place meanwhile."""


class Packing(Protocol):
    """What makes a bundle; both methods block and run in a thread.

    ``unpacked`` is how many bytes its files have, patched ones whole.
    """

    @property
    def unpacked(self) -> int: ...  # noqa: D102

    def read(self, size: int) -> bytes:
        """The next bytes, ``size`` of them unless the bundle ends; empty at the end."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


class Bundle:
    """One step as bytes; ``size`` is what lies here so far, all of it once it is ``whole``."""

    def __init__(self, path: Path, packing: Packing, threads: Threads) -> None:
        self.size = 0
        self.whole = False
        self.error: OutriderError | None = None
        self.readers = 0
        self.unpacked = packing.unpacked
        self._path = path
        self._threads = threads
        self._small = b""
        self._in_file = False
        self._file = -1  # while it is written
        self._grown = asyncio.Event()
        self._task = asyncio.create_task(self._pack(packing))

    async def read(self, offset: int, size: int, *, within_s: float) -> tuple[bytes, bool]:
        """``size`` bytes from ``offset`` on, fewer at the end; and whether it ends there.

        No bytes if it takes longer than ``within_s`` seconds to pack them. Raises what ended the packing.
        """
        self.readers += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._packed(offset + size)
            if self.size < offset + size and not self.whole:
                return b"", False
            end = max(min(self.size, offset + size), offset)
            return await self._bytes(offset, end - offset), self.whole and end >= self.size
        finally:
            self.readers -= 1

    async def close(self) -> None:
        """Stop packing and remove the file; nobody reads it any more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._threads.run(self._discard)

    async def _packed(self, size: int) -> None:
        while self.size < size and not self.whole:
            if self.error is not None:
                raise self.error
            self._grown.clear()
            await self._grown.wait()

    async def _bytes(self, offset: int, size: int) -> bytes:
        if not self._in_file or not size:
            return self._small[offset : offset + size]
        return await self._threads.run(self._read, offset, size)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return os.pread(file, size, offset)
            finally:
                os.close(file)
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error

    async def _pack(self, packing: Packing) -> None:
        """In one piece of work for a thread the next bytes are made and kept; only here they begin to count.

        When it ends nothing holds on to ``packing`` any more, nor to the files and manifests that it was made of.
        """
        try:
            while data := await self._threads.run(packing.read, _AT_ONCE_BYTES):
                if not self._in_file and self.size + len(data) <= _IN_MEMORY_BYTES:
                    self._small += data
                else:
                    await self._threads.run(self._keep, data)
                self.size += len(data)
                self._grown.set()
            self.whole = True
        except OutriderError as error:
            self.error = error
        except OSError as error:
            self.error = StoreError(f"cannot keep {self._path}: {error.strerror}", error.errno, str(self._path))
        finally:
            self._grown.set()
            await asyncio.shield(asyncio.ensure_future(self._threads.run(self._end, packing)))

    def _keep(self, data: bytes) -> None:
        if not self._in_file:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(self._path, flags, 0o600)
            _write(file, self._small)
            self._file, self._in_file = file, True
        _write(self._file, data)

    def _end(self, packing: Packing) -> None:
        packing.close()
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def _discard(self) -> None:
        if self._in_file:
            self._path.unlink(missing_ok=True)


class Shelf:
    """See the module. ``most_bytes`` says what all bundles may take together; those being read stay."""

    def __init__(self, folder: Path, threads: Threads, *, most_bytes: Callable[[], int]) -> None:
        self._folder = folder
        self._threads = threads
        self._most_bytes = most_bytes
        self._bundles: OrderedDict[bytes, Bundle] = OrderedDict()  # that read last is the last
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Empty the folder."""
        await self._threads.run(self._empty)

    def get(self, ticket: bytes) -> Bundle | None:
        """The bundle of this ticket, if it is here and sound."""
        bundle = self._bundles.get(ticket)
        if bundle is None or bundle.error is not None:
            return None
        self._bundles.move_to_end(ticket)
        return bundle

    async def get_or_pack(self, ticket: bytes, pack: Callable[[], Awaitable[Packing]]) -> Bundle:
        """The bundle of this ticket; if it is not here it is begun, once for all who ask."""
        async with self._turn:
            if bundle := self.get(ticket):
                return bundle
            await self._make_room()
            bundle = Bundle(self._folder / ticket.hex(), await pack(), self._threads)
            self._bundles[ticket] = bundle
            return bundle

    async def close(self) -> None:
        """Give up all bundles."""
        bundles = list(self._bundles.values())
        self._bundles.clear()
        await asyncio.gather(*(bundle.close() for bundle in bundles))

    async def _make_room(self) -> None:
        held = sum(bundle.size for bundle in self._bundles.values())
        for ticket, bundle in list(self._bundles.items()):
            fits = held <= self._most_bytes() and len(self._bundles) < _MOST_BUNDLES
            if bundle.readers or (fits and bundle.error is None):
                continue
            held -= bundle.size
            del self._bundles[ticket]
            await bundle.close()

    def _empty(self) -> None:
        try:
            self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            for left in self._folder.iterdir():
                remove(left)
        except OSError as error:
            raise StoreError(
                f"cannot prepare {self._folder}: {error.strerror}", error.errno, str(self._folder)
            ) from error


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
