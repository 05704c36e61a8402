"""Real unix sockets: a stream to a program, and what is said when there is none."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from outrider.errors import TransportError
from outrider.transport.local import LocalSockets


class Listening(asyncio.Protocol):
    """Keeps what came until the other end closes."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readexactly(5)).upper())
    writer.close()
    await writer.wait_closed()


def test_a_stream_reaches_the_program_and_back(tmp_path: Path) -> None:
    async def story() -> None:
        server = await asyncio.start_unix_server(_answer, tmp_path / "s")
        guest = Listening()
        assert await LocalSockets().dial_local(tmp_path / "s", lambda: guest) is guest
        assert guest.transport is not None
        guest.transport.write(b"hello")
        async with asyncio.timeout(30):
            await guest.closed.wait()
        assert guest.data == b"HELLO"
        server.close()

    asyncio.run(story())


def _dial(path: Path) -> None:
    asyncio.run(LocalSockets().dial_local(path, Listening))


def test_no_socket_there(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"^No such file or directory$"):
        _dial(tmp_path / "none")


def test_a_socket_that_nobody_serves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "s"))
        with pytest.raises(TransportError, match=r"^Connection refused$"):
            _dial(tmp_path / "s")


def test_a_path_that_is_too_long_for_the_system() -> None:
    with pytest.raises(TransportError, match="path too long"):
        _dial(Path("/" + "a" * 200))
