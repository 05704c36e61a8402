"""A worker as 4.9.2 is, for the agents bench: everything in one message, in parts of 5 MiB, one after another.

``python -m benches.agents_old_peer HOME PORT COUNT``. It says when it is ready, sends at the line ``begin``, and says
how long the master took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

from benches.agents_node import settings
from benches.agents_rows import make_agents
from outrider.exchange.session import Ground, Session
from outrider.protocol import commands as c
from outrider.protocol.agents import AGENT_INFO_SET, CHUNK_BYTES, decode_result, encode_lines, encode_message
from outrider.protocol.commands import Command
from outrider.protocol.seal import KeyRing
from outrider.settings import Live
from outrider.store.home import Home
from outrider.sync.agent_info import cut
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.world import real_ports

_PART = 5 * 1024 * 1024


class _OldPeer:
    """The least owner of a session."""

    def __init__(self, home: Path) -> None:
        known = settings("old", home)
        self.session = Session(Ground(Live(known), real_ports(), Home(home), KeyRing(known.link.keys)), self)
        self.session.also_serve({c.AGENT_INFO_RESULT: self._result})
        self.result: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connected(self, channel: Channel) -> None:
        channel.connection.known()

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        return self.session.serve(command, payload)

    def lost(self, reason: str) -> None:
        if not self.result.done():
            self.result.set_exception(ConnectionError(reason))

    def _result(self, payload: bytes) -> Reply:
        self.result.set_result(payload)
        return Reply(b"Thanks")

    async def send(self, text: bytes) -> None:
        """3.4, as 4.9.2 does it."""
        name = await self.session.request(c.NEW_STR, b"%d" % len(text))
        size = _PART - len(name) - 1
        for start in range(0, len(text), size):
            await self.session.request(c.STR_UPD, name + b" " + text[start : start + size])
        await self.session.request(c.AGENT_INFO, name)


async def main(home: Path, port: int, count: int) -> None:
    """Connect, send, wait for the answer."""
    chunks = cut(encode_lines(make_agents(count)), CHUNK_BYTES).chunks
    text = encode_message(AGENT_INFO_SET, {}, chunks)
    peer = _OldPeer(home)
    await asyncio.get_running_loop().create_connection(lambda: peer.session.channel, "127.0.0.1", port)
    await peer.session.request(c.HELLO, b"old wazuh worker 4.9.2")
    print(json.dumps({"connected": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    started = time.perf_counter()
    await peer.send(text)
    result = decode_result(await peer.result)
    ok = result.updated_chunks == len(chunks) and not result.error_messages
    print(json.dumps({"seconds": time.perf_counter() - started, "ok": ok}), flush=True)
    peer.session.channel.close("done")
    await peer.session.channel.closed()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
