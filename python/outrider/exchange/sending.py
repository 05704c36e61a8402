"""Sending a file or a string in parts, several on the way at once (specification 3.2, 3.4).

4.9.2 waits for each part's answer; nothing in the protocol asks for that (1.6), so a window of
parts is under way with every peer. But a part that follows another without a pause may have its
header at the end of what one read of the peer brings, wherever the network cuts, and 4.9.2 loses
step at that (1.5): a window of 1 (``link.window``, and so in the profile ``wazuh-4.9``) lets every
part begin behind an answer, in a packet of its own. Unlike 4.9.2 a failed part ends the send: the
peer is told with ``_r`` and the round is tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol, Self

from msgspec import Struct

from outrider.errors import OutriderError, RefusedByPeer
from outrider.exchange.pending import Pending
from outrider.exchange.tasks import Tasks
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.bodies import SharedPath, TaskFault, TransferPath
from outrider.protocol.commands import FILE_END, FILE_UPD, NEW_FILE, NEW_STR, STR_UPD, Command
from outrider.protocol.faults import Fault
from outrider.protocol.transfer import PART_BYTES
from outrider.settings import Live
from outrider.transport.answers import Heard
from outrider.transport.channel import Channel

_READ_BYTES = 2 * PART_BYTES
"""Read and summed in one go: a thread for each part costs more than the part."""
_SMALL = 1024
"""A string of so many bytes leaves together with the command that names it, unless the window is 1: nothing in the
protocol makes the second wait for the first's answer, and a receiver takes requests in their order (1.6)."""
_FIRST_WINDOW = 2
"""Parts under way at first."""
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


class Result(Struct, frozen=True):
    """A string, and the command that names it after ``head``; with ``tell`` nobody waits for this one's answer."""

    data: bytes
    command: Command
    head: bytes = b""
    tell: bool = False


class Sent(NamedTuple):
    """What a send came to; ``cancelled`` if the peer lost interest."""

    size: int
    seconds: float
    cancelled: bool


class Sender:
    """Sends over one channel, as ``link.window`` and ``timeout_cluster_request`` of the settings say."""

    def __init__(self, channel: Channel, tasks: Tasks, ports: Ports, live: Live) -> None:
        self._channel = channel
        self._tasks = tasks
        self._ports = ports
        self._live = live

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

    async def file(self, source: Source, path: SharedPath) -> int:
        """Send a file that nobody over there waits for, without a task (3.2); how many bytes it has."""
        try:
            return await self._file(source, path, lambda: False)
        finally:
            await self._ports.threads.run(source.close)

    async def string(self, data: bytes) -> bytes:
        """Send a string; the id under which the peer keeps it."""
        name = await self._ask(NEW_STR, str(len(data)).encode())
        if 0 < len(data) <= PART_BYTES:
            await self._ask(STR_UPD, name + b" " + data)
            return name
        async with self._window() as window:
            for part in _parts(data):
                await window.put(STR_UPD, name + b" " + part)
        return name

    def result(self, result: Result, heard: Heard) -> None:
        """Send a string and the command that names it; ``heard`` gets the answer to this, or the first error.

        Where that answer is let go ``heard`` gets the one to the string.
        """
        if 0 < len(result.data) <= _SMALL and self._most > 1:
            size = b"%d" % len(result.data)
            self._channel.ask(NEW_STR, size, self._timeout_s, partial(self._small_result, result, heard))
        else:
            Pending.of(self._large_result(result)).then(heard)

    def _small_result(self, result: Result, heard: Heard, name: bytes | Exception) -> None:
        if isinstance(name, Exception):
            heard(name)
            return
        outcome: Pending[bytes] = Pending()
        outcome.then(heard)
        taken = outcome.settle if result.tell else partial(_failed, outcome)
        self._channel.ask(STR_UPD, name + b" " + result.data, self._timeout_s, taken, more=True)
        if result.tell:
            self._channel.tell(result.command, result.head + name, self._timeout_s)
        else:
            self._channel.ask(result.command, result.head + name, self._timeout_s, outcome.settle)

    async def _large_result(self, result: Result) -> bytes:
        name = await self.string(result.data)
        if result.tell:
            self._channel.tell(result.command, result.head + name, self._timeout_s)
            return name
        return await self._ask(result.command, result.head + name)

    async def _file(self, source: Source, path: TransferPath | SharedPath, cancelled: Callable[[], bool]) -> int:
        await self._ask(NEW_FILE, path.rooted)
        sha256 = hashlib.sha256()
        size = 0

        def read(sent: bytes) -> bytes:
            """The next parts; the sum is of what is sent, which after a cancel is less than what was read."""
            sha256.update(sent)
            return source.read(_READ_BYTES)

        reading = asyncio.ensure_future(self._ports.threads.run(read, b""))
        try:
            async with self._window() as window:
                while not cancelled() and (data := await reading):
                    reading = asyncio.ensure_future(self._ports.threads.run(read, data))
                    size += len(data)
                    for part in _parts(data):
                        await window.put(FILE_UPD, path.rooted + b" " + part)
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

    @property
    def _timeout_s(self) -> float:
        return self._live.now.intervals.communication.timeout_cluster_request

    @property
    def _most(self) -> int:
        """Parts that may be under way."""
        return self._live.now.link.window

    def _ask(self, command: Command, payload: bytes) -> asyncio.Future[bytes]:
        return self._channel.request(command, payload, self._timeout_s)

    def _window(self) -> _Window:
        return _Window(self._channel, self._ports, self._timeout_s, self._most)


class _Window:
    """As many requests under way as the link bears; the first that fails ends them all. Leaving it waits for all."""

    def __init__(self, channel: Channel, ports: Ports, timeout_s: float, most: int) -> None:
        self._channel = channel
        self._now = ports.monotonic
        self._timeout_s = timeout_s
        self._most = most
        self._size = min(_FIRST_WINDOW, most)
        self._under_way: set[asyncio.Future[bytes]] = set()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._fewer_than(1)
        finally:
            for answer in self._under_way:
                answer.cancel()

    async def put(self, command: Command, payload: bytes) -> None:
        """Ask; wait while the window or the stream is full. Raises what an earlier request raised."""
        answer = self._channel.request(command, payload, self._timeout_s)
        self._under_way.add(answer)
        answer.add_done_callback(partial(self._learn, self._now()))
        await self._channel.drain(self._timeout_s)
        await self._fewer_than(self._size)

    def _learn(self, started: float, answer: asyncio.Future[bytes]) -> None:
        self._under_way.discard(answer)
        self._changed.set()
        seconds = self._now() - started
        if answer.cancelled():
            return
        if error := answer.exception():
            self._error = self._error or error
        elif seconds < _QUICK_S:
            self._size = min(self._size + 1, self._most)
        elif seconds > _SLOW_S:
            self._size = max(self._size // 2, 1)

    async def _fewer_than(self, number: int) -> None:
        while self._error is None and len(self._under_way) >= number:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error


def _failed(outcome: Pending[bytes], answer: bytes | Exception) -> None:
    """Only an error is news: the answer to the string says nothing about what comes behind it."""
    if isinstance(answer, Exception):
        outcome.settle(answer)


def _parts(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[start : start + PART_BYTES] for start in range(0, len(view), PART_BYTES))
