"""How a channel comes to TLS: as its stream opens, or in the middle of it, and not a byte in clear after that.

It decides when; what TLS is made of, and whom it trusts, is :mod:`outrider.transport.tls`. Nothing here happens to a
message: once the stream has begun, and while it does not turn, the channel asks nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from outrider.errors import TransportError
from outrider.ports import Ports, Tls
from outrider.protocol.frame import opens_tls

if TYPE_CHECKING:
    from outrider.transport.channel import Channel

TURNING: Final = "turning to TLS"
"""Why nothing is read meanwhile."""


class Turn(NamedTuple):
    """How a channel turns to TLS; ``done`` is called when it stands, before anything said inside is heard."""

    terms: Tls
    done: Callable[[], None]


class Opening(NamedTuple):
    """How a stream begins: with TLS. Unless ``only``, a server serves those as well whose first bytes are none."""

    turn: Turn
    only: bool = True


class Turning:
    """One channel's way to TLS; it alone changes what the channel says of that: ``opening``, ``opened``, ``shown``."""

    def __init__(self, channel: Channel, ports: Ports) -> None:
        self._channel = channel
        self._ports = ports
        self._first = b""
        self._making: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether TLS is being made; it stays so where that failed, and the channel has ended."""
        return self._making is not None

    def dialled(self) -> None:
        """The stream is there: whoever dialled speaks first."""
        opening = self._channel.opening
        if opening is not None and not opening.turn.terms.server:
            self._open(opening)

    def begun(self, data: bytes | memoryview) -> bytes | None:
        """What the peer's first bytes say in clear; ``None`` while nobody can tell, and where they are TLS."""
        opening = self._channel.opening
        self._first += data
        tls = opens_tls(self._first)
        if tls is None or opening is None:
            return None
        said, self._first = self._first, b""
        if tls or opening.only:
            self._open(opening, said)
            return None
        self._channel.opening = None
        return said

    def turn(self, turn: Turn, said: bytes = b"") -> None:
        """Read nothing more in clear from this moment on; make TLS when what we said in clear has left.

        ``said`` is what the peer has said of it.
        """
        self._channel.hold(TURNING)
        self._making = asyncio.get_running_loop().create_task(self._make(turn, said))

    async def wait(self) -> None:
        """Wait until TLS stands, or the channel has ended instead."""
        if self._making is not None:
            await asyncio.wait([self._making])

    def _open(self, opening: Opening, said: bytes = b"") -> None:
        self._channel.opening, self._channel.opened = None, True
        self.turn(opening.turn, said)

    async def _make(self, turn: Turn, said: bytes) -> None:
        channel = self._channel
        try:
            await channel.drain(turn.terms.timeout_s)
            if (stream := channel.stream) is None:
                return
            made = await self._ports.network.secure(stream, channel, turn.terms, said)
        except TransportError as error:
            channel.abandon(str(error))  # what the stream is inside of has nobody else to tell
            return
        self._making = None
        channel.shown = made.shown
        channel.secured(made, turn.done)
