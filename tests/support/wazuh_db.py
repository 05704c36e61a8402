"""A stand-in for wazuh-db on its unix socket (specification 6.1): what it answers is given to it, what goes wrong too.

Like the real one it serves with eight threads, closes at an empty request, and loses a thread for
good to a request that is larger than 65,536 bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

Answer = Callable[[bytes], Awaitable[Sequence[bytes]]]
"""A request's answers, a frame each."""

THREADS = 8
LARGEST = 65_536


def framed(message: bytes) -> bytes:
    """A message with its length before it."""
    return len(message).to_bytes(4, "little") + message


@dataclass
class Fault:
    """What happens to the next ``times`` requests that begin with ``on``: all of it, in this order."""

    on: bytes = b""
    times: int = 1
    until: asyncio.Event | None = None
    """The answer waits for this, once the request is carried out."""
    say: bytes | None = None
    """Sent in place of the answer; the request is not carried out."""
    raw: bytes | None = None
    """Sent in place of the answer, as it is."""
    cut: int | None = None
    """The connection closes after so many bytes of the answer."""


class WazuhDbDaemon:
    """Use it as a context: it listens at ``path`` while that lasts."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.answer = answer
        self.requests: list[bytes] = []
        self.faults: deque[Fault] = deque()
        self.connections: list[Serving] = []
        self.threads = THREADS
        self.most_at_work = 0
        self._at_work = 0
        self._free = asyncio.Semaphore(THREADS)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_unix_server(self.serving, str(self.path))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Be gone, with the socket's file and all connections."""
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            await connection.stop()
        self.path.unlink(missing_ok=True)

    def serving(self) -> Serving:
        """One more connection; also for a network in memory."""
        self.connections.append(Serving(self))
        return self.connections[-1]

    @property
    def open(self) -> int:
        """Connections that are not closed."""
        return sum(connection.is_open for connection in self.connections)

    def has_lost(self, threads: int) -> bool:
        """Whether so many of the eight are gone."""
        return self.threads == THREADS - threads

    # for connections

    async def carry_out(self, request: bytes) -> tuple[bytes, bool]:
        """What to send for a request, and whether to close then."""
        async with self._free:
            self._at_work += 1
            self.most_at_work = max(self.most_at_work, self._at_work)
            try:
                return await self._carry_out(request)
            finally:
                self._at_work -= 1

    async def _carry_out(self, request: bytes) -> tuple[bytes, bool]:
        self.requests.append(request)
        fault = self._fault(request)
        data = b"".join(map(framed, [fault.say] if fault.say is not None else await self.answer(request)))
        if fault.until is not None:
            await fault.until.wait()
        data = data if fault.raw is None else fault.raw
        return data[: fault.cut], fault.cut is not None

    def _fault(self, request: bytes) -> Fault:
        for fault in self.faults:
            if request.startswith(fault.on) and fault.times > 0:
                fault.times -= 1
                return fault
        return Fault()

    async def end_thread(self) -> None:
        """An oversized request: nobody ever answers it."""
        self.threads -= 1
        await self._free.acquire()


class Serving(asyncio.Protocol):
    """The daemon's end of a connection: requests are answered in their order."""

    def __init__(self, daemon: WazuhDbDaemon) -> None:
        self._daemon = daemon
        self._buffer = bytearray()
        self._waiting: deque[bytes] = deque()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "little")
            if size == 0:
                self._transport.close()
                return
            if size > LARGEST:
                self._transport.pause_reading()
                self._task = asyncio.get_running_loop().create_task(self._daemon.end_thread())
                return
            if len(self._buffer) < 4 + size:
                return
            self._waiting.append(bytes(self._buffer[4 : 4 + size]))
            del self._buffer[: 4 + size]
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None

    async def _serve(self) -> None:
        while self._waiting:
            data, closes = await self._daemon.carry_out(self._waiting.popleft())
            if self._transport is None:
                return
            self._transport.write(data)
            if closes:
                self._transport.close()
                return
