"""Two channels over real sockets that turn to TLS, or somebody else in the place of the near one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.channels import Serve, Side

from outrider.ports import Identity, Tls
from outrider.protocol.commands import ECHO, START_TLS, Command
from outrider.protocol.seal import KeyRing
from outrider.store.identity import identity_of
from outrider.transport.answers import Reply
from outrider.transport.turning import Turn
from outrider.world import real_ports

RING = KeyRing([b"0123456789abcdefghijklmnopqrstuv"])
DEADLINE_S = 10


def identities(folder: Path) -> tuple[Identity, Identity, Identity]:
    """The near side's, the far side's, and a stranger's."""
    near, far, other = (identity_of(folder / name, name.encode() * 32) for name in "nfo")
    return near, far, other


class Far:
    """The side that listens; it turns when asked, trusting ``trusted``."""

    def __init__(self, own: Identity, trusted: str, serves: Mapping[Command, Serve] | None = None) -> None:
        self.turned = asyncio.Event()
        self.sides: list[Side] = []
        self.port = 0
        self._turn = Turn(Tls(True, own, trusted, DEADLINE_S), self.turned.set)
        self._serves: dict[Command, Serve] = {ECHO: Reply, START_TLS: self._start_tls, **(serves or {})}
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for side in self.sides:
            side.channel.close("the end")
            await side.channel.closed()

    async def reason(self) -> str:
        """Why the first connection ended."""
        async with asyncio.timeout(30):
            return await self.sides[0].channel.closed()

    def _accept(self) -> asyncio.BaseProtocol:
        side = Side(real_ports(), self._serves, RING, None)
        side.channel.connection.known()
        self.sides.append(side)
        return side.channel

    def _start_tls(self, _: bytes) -> Reply:
        return Reply(b"", turn=self._turn)


async def near_side(port: int, serves: Mapping[Command, Serve] | None = None) -> Side:
    """A side that has dialled ``port``."""
    side = Side(real_ports(), serves or {}, RING, None)
    await asyncio.get_running_loop().create_connection(lambda: side.channel, "127.0.0.1", port)
    side.channel.connection.known()
    return side


def turn(own: Identity, trusted: str) -> Turn:
    """How the near side turns."""
    return Turn(Tls(False, own, trusted, DEADLINE_S), lambda: None)


def foreign_context(own: Identity | None, *, most: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client of TLS that trusts anybody, as no code of ours makes one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if own is not None:
        context.load_cert_chain(own.file)
    if most is not None:
        context.maximum_version = most
    return context
