"""One ``echo`` to a master, as a node of these settings would say it: sealed with the cluster key, or inside TLS.

A node is in nobody's way by that: ``echo`` is the one command that a stranger may send (2.1), and no name is taken.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from outrider.errors import ConnectionLostError, TransportError
from outrider.ports import Authorities, Identity, Ports, Tls
from outrider.protocol.certificates import holder_of, read
from outrider.protocol.commands import ECHO, Command
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.seal import KeyRing, NoSeal, stamp_of
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.transport.turning import Opening, Turn

_ANSWER_S = 10.0


class Sealed(NamedTuple):
    """An answer under the cluster key: seconds that it took, and by how many the master's clock is ahead."""

    seconds: float
    ahead_s: float


class Inside(NamedTuple):
    """An answer inside TLS: seconds that it took, and the master that the certificate names."""

    seconds: float
    master: str


class _Stamped:
    """The node's own seal, noting by the peer's clock when what it opened was made."""

    def __init__(self, ring: KeyRing) -> None:
        self._link = ring.link()
        self.stamp = 0

    def seal(self, plain: bytes, wall: float) -> bytes:
        return self._link.seal(plain, wall)

    def open(self, token: bytes, wall: float) -> bytes:
        plain = self._link.open(token, wall)
        self.stamp = stamp_of(token)
        return plain


class _Caller:
    """Owns the channel of one question; whoever answers asks nothing of us."""

    def connected(self, channel: Channel) -> None:
        """Nothing follows of itself."""

    def process_request(self, command: Command, payload: bytes) -> Reply | None:  # noqa: ARG002
        return None

    def lost(self, reason: str) -> None:
        """The question fails by itself."""


async def ask_sealed(keys: list[bytes], host: str, port: int, ports: Ports) -> Sealed:
    """Ask under the cluster key; :class:`TransportError`, or :class:`PeerError` for an answer that is none."""
    seal = _Stamped(KeyRing(keys))
    channel = Channel(Connection(seal, ports.random, serves={}, limits=LinkLimits), _Caller(), ports)
    await ports.network.dial(host, port, lambda: channel)
    began = time.perf_counter()
    try:
        await channel.request(ECHO, b"doctor", _ANSWER_S)
    finally:
        channel.close("the question is answered")
        await channel.closed()
    return Sealed(time.perf_counter() - began, seal.stamp - ports.wall())


async def ask_inside(identity: Identity | None, trusted: Authorities, host: str, port: int, ports: Ports) -> Inside:
    """Ask inside TLS from the first byte, showing ``identity``; without one it ends when the master has shown itself.

    :class:`TransportError` says which side refused what.
    """
    channel = Channel(Connection(NoSeal(), ports.random, serves={}, limits=LinkLimits), _Caller(), ports)
    channel.opening = Opening(Turn(Tls(False, identity, trusted, _ANSWER_S), lambda: None))
    await ports.network.dial(host, port, lambda: channel)
    began = time.perf_counter()
    try:
        await channel.turned()
        if identity is not None:
            # In TLS 1.3 the master looks at it only now, and who is refused sees no more than an end.
            await channel.request(ECHO, b"doctor", _ANSWER_S)
        named = holder_of(read(channel.shown or b""), "").name
    except ConnectionLostError as error:
        raise TransportError(f"{error}; TLS began, and then the master ended it") from error
    except ValueError as error:
        raise TransportError(f"the master's certificate is none: {error}") from error
    finally:
        channel.close("the question is answered")
        await channel.closed()
    return Inside(time.perf_counter() - began, named)
