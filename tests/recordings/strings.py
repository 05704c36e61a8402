"""What a node under test says in long strings: taken as they come, kept under the ids that they were given."""

from __future__ import annotations

import asyncio

from tests.recordings.peer import Peer


class Strings:
    """Takes the strings of ``peer``'s node until :meth:`close`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._given = 0
        self._texts: dict[bytes, bytes] = {}
        self._tasks = [asyncio.create_task(self._begin()), asyncio.create_task(self._extend())]

    def take(self, name: bytes) -> bytes:
        """A string that is whole."""
        return self._texts.pop(name)

    async def answer(self, command: str, thanks: bytes) -> tuple[bytes, bytes]:
        """Wait for a command that brings an answer, ``<id> <string>``: the id and the answer."""
        heard = await self._peer.asked(command)
        name, string = heard.payload.split(b" ")
        self._peer.answer(heard, "ok", thanks)
        return name, self.take(string)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self) -> None:
        while True:
            new = await self._peer.requests["new_str"].get()
            self._given += 1
            self._texts[b"%d" % self._given] = b""
            self._peer.answer(new, "ok", b"%d" % self._given)

    async def _extend(self) -> None:
        while True:
            part = await self._peer.requests["str_upd"].get()
            name, text = part.payload.split(b" ", 1)
            self._texts[name] += text
            self._peer.answer(part, "ok", b"String updated")
