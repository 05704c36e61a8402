"""A peer that knows the wire by itself: frames by struct, tokens by cryptography, nothing of ours.

It plays either side of a recording over a real socket. Requests of the node under test wait, by
command, until the recording comes to them; an ``echo`` is answered at once, as any old node does, and
so are what ``always`` holds and the probe, which 4.9.2 does not know (specification 1.6, 7.4).
"""

from __future__ import annotations

import asyncio
import struct
from base64 import urlsafe_b64encode
from collections import defaultdict
from typing import NamedTuple, Self

from cryptography.fernet import Fernet

PATIENCE_S = 30
UNKNOWN = ("outrider", "start_tls")
"""What only nodes of our own say."""
_HEADER = struct.Struct("!2I12s")


class Heard(NamedTuple):
    """A whole message; ``frames`` holds the length and the command field of each of its frames."""

    counter: int
    field: bytes
    payload: bytes
    frames: tuple[tuple[int, bytes], ...]

    @property
    def name(self) -> str:
        return self.field[:11].split(b" ")[0].decode()


def field_of(name: str) -> bytes:
    return (name + " ").ljust(12, "-").encode()


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, counter: int = 0) -> None:
        self._reader = reader
        self._writer = writer
        self._fernet = Fernet(urlsafe_b64encode(key.encode()))
        self._counter = counter
        self._waiting: dict[int, asyncio.Future[Heard]] = {}
        self.requests: defaultdict[str, asyncio.Queue[Heard]] = defaultdict(asyncio.Queue)
        self.always: dict[str, bytes] = {}
        self.unknown: list[str] = []
        self.closed = asyncio.Event()
        self._task = asyncio.create_task(self._listen())

    @classmethod
    async def dial(cls, port: int, key: str, counter: int = 0) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port), key, counter)

    async def ask(self, name: str, payload: bytes = b"") -> Heard:
        """Ask, and wait for the answer."""
        self._counter += 1
        answer = self._waiting[self._counter] = asyncio.get_running_loop().create_future()
        self.write(self._counter, field_of(name), self._fernet.encrypt(payload))
        return await asyncio.wait_for(answer, PATIENCE_S)

    async def asked(self, name: str) -> Heard:
        """Wait until the node asks this."""
        try:
            return await asyncio.wait_for(self.requests[name].get(), PATIENCE_S)
        except TimeoutError:
            held = {other: queue.qsize() for other, queue in self.requests.items() if queue.qsize()}
            raise AssertionError(f"the node never asked {name}; it asked {held}") from None

    def seal(self, plain: bytes) -> bytes:
        return self._fernet.encrypt(plain)

    def answer(self, request: Heard, name: str, payload: bytes) -> None:
        self.write(request.counter, field_of(name), self._fernet.encrypt(payload))

    def write(self, counter: int, field: bytes, sealed: bytes) -> None:
        """One frame, or the parts of a long one; the payload leaves as it is given."""
        parts = [sealed[at : at + 5_242_860] for at in range(0, len(sealed), 5_242_860)] or [b""]
        for part in parts[:-1]:
            self._writer.write(_HEADER.pack(counter, len(part), field[:11] + b"d") + part)
        last = field if len(parts) == 1 else field[:11] + b"-"
        self._writer.write(_HEADER.pack(counter, len(parts[-1]), last) + parts[-1])

    async def close(self) -> None:
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, self._writer.wait_closed(), return_exceptions=True)

    async def _listen(self) -> None:
        parts: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
        try:
            while True:
                counter, length, field = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
                parts[counter].append((field, await self._reader.readexactly(length)))
                if field[11:] != b"d":
                    self._heard(counter, parts.pop(counter))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
            for answer in self._waiting.values():
                answer.cancel()

    def _heard(self, counter: int, parts: list[tuple[bytes, bytes]]) -> None:
        plain = self._fernet.decrypt(b"".join(part for _, part in parts))
        heard = Heard(counter, parts[-1][0], plain, tuple((len(part), field) for field, part in parts))
        if counter in self._waiting:
            self._waiting.pop(counter).set_result(heard)
        elif heard.name == "echo":
            self.answer(heard, "ok", plain)
        elif heard.name in UNKNOWN:
            self.unknown.append(heard.name)
            self.answer(heard, "err", f"unknown command 'b'{heard.name}''".encode())
        elif heard.name in self.always:
            self.answer(heard, "ok", self.always[heard.name])
        else:
            self.requests[heard.name].put_nowait(heard)


class Door:
    """A listening peer: the recorded master that a worker of ours dials."""

    def __init__(self, key: str, counter: int = 0) -> None:
        self._key = key
        self._counter = counter
        self._came: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []
        self._server: asyncio.Server

    async def open(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def came(self) -> Peer:
        return await asyncio.wait_for(self._came.get(), PATIENCE_S)

    async def close(self) -> None:
        self._server.close()
        for peer in self._peers:
            await peer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self._key, self._counter)
        self._peers.append(peer)
        self._came.put_nowait(peer)
