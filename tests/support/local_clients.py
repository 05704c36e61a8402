"""Programs on a node's local socket that know the frames by themselves: one in Python's manner, one in C's."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

_HEADER = struct.Struct("!2I12s")


class Frame(NamedTuple):
    counter: int
    field: bytes
    payload: bytes

    @property
    def name(self) -> str:
        return self.field[:11].split(b" ")[0].decode()

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


def frame(counter: int, name: str, payload: bytes) -> bytes:
    return _HEADER.pack(counter, len(payload), (name + " ").ljust(12, "-").encode()) + payload


def like_c(path: Path, name: str, payload: bytes, counter: int = 77) -> Frame:
    """Send one frame, read exactly one, close without a word: what the daemons in C do (2.4)."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(frame(counter, name, payload))
        counter, length, field = _HEADER.unpack(_exactly(sock, _HEADER.size))
        return Frame(counter, field, _exactly(sock, length))


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise AssertionError(f"the node closed after {data!r}")
        data += part
    return data


class Program:
    """A program that keeps its connection: frame by frame, in the order in which they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._counter = 1000

    @classmethod
    async def connect(cls, path: Path) -> Self:
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, name: str, payload: bytes = b"") -> int:
        self._counter += 1
        self._writer.write(frame(self._counter, name, payload))
        return self._counter

    def answer(self, request: Frame, payload: bytes, name: str = "ok") -> None:
        self._writer.write(frame(request.counter, name, payload))

    async def next(self) -> Frame:
        async with asyncio.timeout(30):
            counter, length, field = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
            return Frame(counter, field, await self._reader.readexactly(length))

    async def ask(self, name: str, payload: bytes = b"") -> Frame:
        """Ask, and take the next frame, which must be the answer."""
        counter = self.send(name, payload)
        heard = await self.next()
        assert heard.counter == counter
        return heard

    async def string(self) -> bytes:
        """Take a string and the ``dapi_res`` that names it, as 2.1 says."""
        new = await self.next()
        assert new.name == "new_str"
        self.answer(new, b"5")
        data = b""
        while len(data) < int(new.payload):
            part = await self.next()
            assert (part.name, part.payload[:2]) == ("str_upd", b"5 ")
            data += part.payload[2:]
            self.answer(part, b"String updated")
        result = await self.next()
        assert (result.name, result.payload) == ("dapi_res", b"5")
        self.answer(result, b"Distributed api response received")
        return data

    async def ended(self) -> bool:
        """Wait until the node closes; whether it did so without another frame."""
        async with asyncio.timeout(30):
            return await self._reader.read() == b""

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def in_thread(work: Callable[..., Frame], *arguments: Any) -> Frame:
    """A program in C runs beside the node, not in its loop."""
    return await asyncio.to_thread(work, *arguments)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that is sure to come; the deadline is there for tests that fail."""
    async with asyncio.timeout(30):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)
