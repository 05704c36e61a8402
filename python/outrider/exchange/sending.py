"""Sending a file or a string in parts, several on the way at once (specification 3.2, 3.4).

4.9.2 waits for each part's answer; nothing in the protocol asks for that (1.6), so a window of
parts is under way with every peer. Unlike 4.9.2 a failed part ends the send: the peer is told with
``_r`` and the round is tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, Self

from outrider.errors import OutriderError, RefusedByPeer
from outrider.exchange.tasks import Tasks
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.bodies import TaskFault, TransferPath
from outrider.protocol.commands import FILE_END, FILE_UPD, NEW_FILE, NEW_STR, STR_UPD, Command
from outrider.protocol.faults import Fault
from outrider.protocol.transfer import PART_BYTES
from outrider.transport.channel import Channel

_FIRST_WINDOW, _WINDOW = 2, 16
"""Parts under way, at first and at most: 4 MiB, enough for 40 MB/s over 100 ms."""
_QUICK_S, _SLOW_S = 1, 5
"""The window grows while answers are quick and halves when one is slow: no answer may take so long that it counts
as lost, and no keep-alive may wait behind more than seconds of files, however thin the link."""


class Source(Protocol):
    """Where the bytes of a file come from; ``read`` blocks and runs in a thread."""

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        ...

    def close(self) -> None:
        """Free everything; called once, always."""
        ...


class Opening(NamedTuple):
    """The three commands of one kind of transfer: announce, done, failed."""

    begin: Command
    end: Command
    error: Command


class Sent(NamedTuple):
    """What a send came to; ``cancelled`` if the peer lost interest."""

    size: int
    seconds: float
    cancelled: bool


class Sender:
    """Sends over one channel."""

    def __init__(self, channel: Channel, tasks: Tasks, ports: Ports, timeout_s: float) -> None:
        self._channel = channel
        self._tasks = tasks
        self._ports = ports
        self._timeout_s = timeout_s

    async def container(self, source: Source, opening: Opening, path: TransferPath) -> Sent:
        """Announce a file, send it, say that it is there; on failure, or when cancelled, say that instead and raise."""
        started = self._ports.monotonic()
        task: bytes | None = None
        try:
            task = await self._ask(opening.begin, b"")
            outgoing = self._tasks.sending(task)
            size = await self._file(source, path, lambda: outgoing.cancelled)
            await self._end(opening, task, path, cancelled=outgoing.cancelled)
        except asyncio.CancelledError:
            if task is not None:
                stopping = TaskFault(task, Fault(faults.FILE_ERROR, "the sender is stopping"))
                self._channel.tell(opening.error, stopping.encode(), self._timeout_s)
            raise
        except OutriderError as error:
            await self._give_up(opening, task, error)
            raise
        finally:
            if task is not None:
                self._tasks.sent(task)
            await self._ports.threads.run(source.close)
        return Sent(size, self._ports.monotonic() - started, outgoing.cancelled)

    async def string(self, data: bytes) -> bytes:
        """Send a string; the id under which the peer keeps it."""
        name = await self._ask(NEW_STR, str(len(data)).encode())
        async with _Window(self._channel, self._ports) as window:
            for start in range(0, len(data), PART_BYTES):
                await window.put(self._ask(STR_UPD, name + b" " + data[start : start + PART_BYTES]))
        return name

    async def _file(self, source: Source, path: TransferPath, cancelled: Callable[[], bool]) -> int:
        await self._ask(NEW_FILE, path.rooted)
        sha256 = hashlib.sha256()
        size = 0

        def read(sent: bytes) -> bytes:
            """The next part; the sum is of what is sent, which after a cancel is less than what was read."""
            sha256.update(sent)
            return source.read(PART_BYTES)

        reading = asyncio.ensure_future(self._ports.threads.run(read, b""))
        try:
            async with _Window(self._channel, self._ports) as window:
                while not cancelled() and (part := await reading):
                    reading = asyncio.ensure_future(self._ports.threads.run(read, part))
                    size += len(part)
                    await window.put(self._ask(FILE_UPD, path.rooted + b" " + part))
        finally:
            await asyncio.gather(reading, return_exceptions=True)
        await self._ask(FILE_END, path.rooted + b" " + sha256.digest())
        return size

    async def _end(self, opening: Opening, task: bytes, path: TransferPath, *, cancelled: bool) -> None:
        """Say that the file is there. After a cancel nobody waits for it, but an old peer removes it only then."""
        try:
            await self._ask(opening.end, task + b" " + str(path).encode())
        except RefusedByPeer:
            if not cancelled:
                raise

    async def _give_up(self, opening: Opening, task: bytes | None, error: OutriderError) -> None:
        if self._channel.is_open:
            body = TaskFault(task, Fault(faults.INTERNAL, str(error))).encode()
            try:
                await self._ask(opening.error, body)
            except OutriderError:
                return

    async def _ask(self, command: Command, payload: bytes) -> bytes:
        return await self._channel.request(command, payload, self._timeout_s)


class _Window:
    """As many requests under way as the link bears; the first that fails ends them all. Leaving it waits for all."""

    def __init__(self, channel: Channel, ports: Ports) -> None:
        self._channel = channel
        self._now = ports.monotonic
        self._size = _FIRST_WINDOW
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while kind is None and self._under_way:
                await self._collect(asyncio.FIRST_EXCEPTION)
        finally:
            for request in self._under_way:
                request.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def put(self, request: Coroutine[Any, Any, bytes]) -> None:
        """Start a request; wait while the window or the stream is full. Raises what an earlier request raised."""
        self._under_way.add(asyncio.ensure_future(self._learn(request)))
        await self._channel.drain()
        while len(self._under_way) >= self._size:
            await self._collect(asyncio.FIRST_COMPLETED)

    async def _learn(self, request: Coroutine[Any, Any, bytes]) -> bytes:
        started = self._now()
        answer = await request
        seconds = self._now() - started
        if seconds < _QUICK_S:
            self._size = min(self._size + 1, _WINDOW)
        elif seconds > _SLOW_S:
            self._size = max(self._size // 2, 1)
        return answer

    async def _collect(self, when: str) -> None:
        done, self._under_way = await asyncio.wait(self._under_way, return_when=when)
        failed = [error for request in done if (error := request.exception())]
        if failed:
            raise failed[0]
