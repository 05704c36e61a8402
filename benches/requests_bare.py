"""The least that could pass requests on: the frames of 5.9 over bare asyncio, without a queue, a limit or a check."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from itertools import count

from cryptography.fernet import Fernet

_HEADER = struct.Struct("!2I12s")
_OK = b"ok ---------"
DAPI, NEW_STR, STR_UPD, DAPI_RES = (name.ljust(12, b"-") for name in (b"dapi ", b"new_str ", b"str_upd ", b"dapi_res "))
SAYS = {
    DAPI: b"Added request to API requests queue",
    STR_UPD: b"String updated",
    DAPI_RES: b"Response forwarded to worker",
}

Answer = Callable[[bytes], Awaitable[bytes]]


class Bare(asyncio.Protocol):
    """One end; ``answer`` says what a request gets, ``seal`` is absent on a local socket, where results have no id."""

    def __init__(self, seal: Fernet | None, answer: Answer | None = None) -> None:
        self._seal = seal
        self._answer = answer
        self._buffer = bytearray()
        self._counter = count(1)
        self._names = count(1)
        self._replies: dict[int, asyncio.Future[bytes]] = {}
        self._strings: dict[bytes, bytes] = {}
        self._results: dict[bytes, asyncio.Future[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the stream."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> bytes:
        """What the other end answers, in four exchanges and three turnarounds."""
        name = b"" if self._seal is None else b"%036d" % next(self._names)
        result: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._results[name] = result
        await self._request(DAPI, name + b" " + request if name else request)
        return await result

    def data_received(self, data: bytes) -> None:
        """Cut frames."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            counter, length, field = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            self._heard(counter, field, payload if self._seal is None else self._seal.decrypt(payload))

    def _send(self, counter: int, field: bytes, payload: bytes) -> None:
        payload = payload if self._seal is None else self._seal.encrypt(payload)
        self.transport.write(_HEADER.pack(counter, len(payload), field) + payload)

    def _request(self, field: bytes, payload: bytes) -> asyncio.Future[bytes]:
        counter = next(self._counter)
        reply = self._replies[counter] = asyncio.get_running_loop().create_future()
        self._send(counter, field, payload)
        return reply

    def _heard(self, counter: int, field: bytes, payload: bytes) -> None:
        if field == _OK:
            self._replies.pop(counter).set_result(payload)
        elif field == NEW_STR:
            self._send(counter, _OK, b"%d" % next(self._names))
        else:
            self._send(counter, _OK, SAYS[field])
            self._serve(field, payload)

    def _serve(self, field: bytes, payload: bytes) -> None:
        if field == STR_UPD:
            name, text = payload.split(b" ", 1)
            self._strings[name] = text
        elif field == DAPI_RES:
            name, _, string = payload.rpartition(b" ")
            self._results.pop(name).set_result(self._strings.pop(string))
        else:
            task = asyncio.create_task(self._pass_on(payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, payload: bytes) -> None:
        assert self._answer is not None
        name, request = (b"", payload) if self._seal is None else payload.split(b" ", 1)
        result = await self._answer(request)
        string = await self._request(NEW_STR, b"%d" % len(result))
        part = self._request(STR_UPD, string + b" " + result)
        # Behind it, as ours: nothing makes the one wait for the other's answer, and a turnaround more would flatter us.
        await self._request(DAPI_RES, name + b" " + string if name else string)
        await part
