"""The wire: echoes and a 100 MiB file over Fernet, beside what Fernet and asyncio cost by themselves.

Echo: 128 bytes there and back, one after another, both ends in one process. The peer is the least
that could do it: an ``asyncio.Protocol`` with a length, a Fernet token and nothing else.

File: one end sends 100 MiB from memory in parts of 256 KiB through :class:`Sender`, the other, a
process of its own, writes it to a tmpfs and compares its SHA-256. The peer is Fernet alone with one
core for each end: a process seals the same parts while another opens them; the slower one counts. All these
processes have the memory options of the command line.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import struct
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from benches.rows import Row
from outrider import Settings
from outrider.exchange.sending import Opening
from outrider.exchange.session import Ground, Session
from outrider.protocol import commands as c
from outrider.protocol.bodies import TransferPath
from outrider.protocol.commands import Command
from outrider.protocol.seal import KeyRing
from outrider.protocol.transfer import PART_BYTES
from outrider.settings import Live
from outrider.store.home import Home
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.world import real_ports, share_freed_memory

KEY = b"k" * 32
_BODY = b"x" * 128
_LENGTH = struct.Struct("!I")
OPENING = Opening(c.INTEGRITY_SYNC, c.INTEGRITY_SYNC_END, c.INTEGRITY_SYNC_ERROR)


def run(*, short: bool) -> list[Row]:
    """Echo and file."""
    runs, echoes, size = (3, 2_000, 32 << 20) if short else (5, 10_000, 100 << 20)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        home = Path(folder)
        # Ours and the peer's take turns, so that a machine whose pace changes changes both.
        echo = [(asyncio.run(_echo_ours(home, echoes)), asyncio.run(_echo_bare(echoes))) for _ in range(runs)]
        share_freed_memory()
        file = [(_file_ours(home, size), _file_bare(size)) for _ in range(runs)]
    ours, bare = map(statistics.median, zip(*echo, strict=True))
    sent, sealed = map(statistics.median, zip(*file, strict=True))
    return [
        Row(f"{echoes:,} echoes", ours, "bare asyncio + Fernet", bare, ">= 0.7x"),
        Row(f"file of {size >> 20} MiB", sent, "Fernet alone", sealed, ">= 0.7x"),
    ]


class End:
    """The least owner of a session: it serves transfers and takes one announced file."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        settings = Settings.from_mapping({"node": {"home": str(home)}, "link": {"key": KEY.decode()}})
        self._home = Home(home)
        self._home.open()
        self.lost_: asyncio.Event = asyncio.Event()
        self.session = Session(Ground(Live(settings), real_ports(), self._home, KeyRing([KEY])), self)
        self.session.also_serve({c.INTEGRITY_SYNC: self._open, c.INTEGRITY_SYNC_END: self.session.deliver})

    def connected(self, channel: Channel) -> None:
        """Everybody is known here."""
        channel.connection.known()

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        """As a handler does."""
        return self.session.serve(command, payload)

    def lost(self, reason: str) -> None:  # noqa: ARG002
        """Give the home back."""
        self._home.close()
        self.lost_.set()

    def _open(self, payload: bytes) -> Reply:
        task, self.arrival = self.session.tasks.open(payload)
        return Reply(task)


async def _connected(home: Path, port: int = 0) -> tuple[End, Any]:
    """A listening end, or one connected to ``port``."""
    end = End(home)
    await end.session.open_transfers("w")
    end.session.worker = "w"
    loop = asyncio.get_running_loop()
    if port:
        await loop.create_connection(lambda: end.session.channel, "127.0.0.1", port)
        return end, None
    return end, await loop.create_server(lambda: end.session.channel, "127.0.0.1", 0)


async def _echo_ours(folder: Path, echoes: int) -> float:
    _, server = await _connected(folder / "a")
    client, _ = await _connected(folder / "b", server.sockets[0].getsockname()[1])
    started = time.perf_counter()
    for _ in range(echoes):
        await client.session.request(c.ECHO, _BODY)
    seconds = time.perf_counter() - started
    client.session.channel.close("done")
    await client.lost_.wait()
    server.close()
    await asyncio.sleep(0.05)
    return seconds


class _Bare(asyncio.Protocol):
    """Length and token; a server when it has no waiter."""

    def __init__(self) -> None:
        self._fernet = Fernet(urlsafe_b64encode(KEY))
        self._buffer = b""
        self._transport: asyncio.Transport
        self.answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, plain: bytes) -> None:
        token = self._fernet.encrypt(plain)
        self._transport.write(_LENGTH.pack(len(token)) + token)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4 and len(self._buffer) >= 4 + (size := _LENGTH.unpack_from(self._buffer)[0]):
            plain = self._fernet.decrypt(self._buffer[4 : 4 + size])
            self._buffer = self._buffer[4 + size :]
            if self.answer is None:
                self.send(plain)
            else:
                self.answer.set_result(plain)


async def _echo_bare(echoes: int) -> float:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Bare, "127.0.0.1", 0)
    transport, client = await loop.create_connection(_Bare, "127.0.0.1", server.sockets[0].getsockname()[1])
    started = time.perf_counter()
    for _ in range(echoes):
        client.answer = loop.create_future()
        client.send(_BODY)
        await client.answer
    seconds = time.perf_counter() - started
    transport.close()
    server.close()
    await asyncio.sleep(0.05)
    return seconds


class Memory:
    """A source of bytes that costs nothing."""

    def __init__(self, size: int) -> None:
        self._data = memoryview(os.urandom(1 << 20) * (size >> 20))
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        part = bytes(self._data[self._at : self._at + size])
        self._at += size
        return part

    def close(self) -> None:
        """Nothing to free."""


def _file_ours(folder: Path, size: int) -> float:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    receiver = context.Process(target=_receive, args=(folder / "c", there))
    receiver.start()
    seconds = asyncio.run(_send(folder / "d", here.recv(), size))
    receiver.join()
    return seconds


def _receive(home: Path, pipe: Pipe) -> None:
    share_freed_memory()
    asyncio.run(_serve(home, pipe))


async def _serve(home: Path, pipe: Pipe) -> None:
    end, server = await _connected(home)
    pipe.send(server.sockets[0].getsockname()[1])
    await end.lost_.wait()
    server.close()
    for left in (home / "queue" / "cluster" / "w").iterdir():
        left.unlink()


async def _send(home: Path, port: int, size: int) -> float:
    end, _ = await _connected(home, port)
    source = Memory(size)
    started = time.perf_counter()
    await end.session.sender.container(source, OPENING, TransferPath("w", "file.zip"))
    seconds = time.perf_counter() - started
    end.session.channel.close("done")
    await end.lost_.wait()
    return seconds


def _file_bare(size: int) -> float:
    """One process seals all parts while another opens them, each on its core; the slower one counts."""
    tokens = [Fernet(urlsafe_b64encode(KEY)).encrypt(part) for part in _parts(size)]
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    sealer = context.Process(target=_seal_parts, args=(size, there))
    sealer.start()
    here.recv()
    here.send("go")
    fernet = Fernet(urlsafe_b64encode(KEY))
    opening = _timed(lambda: [fernet.decrypt(token) for token in tokens])
    sealing: float = here.recv()
    sealer.join()
    return max(sealing, opening)


def _seal_parts(size: int, pipe: Pipe) -> None:
    share_freed_memory()
    fernet = Fernet(urlsafe_b64encode(KEY))
    parts = _parts(size)
    pipe.send("ready")
    pipe.recv()
    pipe.send(_timed(lambda: [fernet.encrypt(part) for part in parts]))


def _parts(size: int) -> list[bytes]:
    source = Memory(size)
    return list(iter(lambda: source.read(PART_BYTES), b""))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
