"""The way to the master: one ``echo`` before any hello says whether it answers, knows the key, and has our time.

A node is in nobody's way by that: ``echo`` is the one command that a stranger may send (2.1), and no name is taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.errors import OutriderError, SettingsError, TransportError
from outrider.model import endpoint
from outrider.ports import Ports
from outrider.protocol.commands import ECHO, Command
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.seal import AGE_SETTING, KeyRing, stamp_of
from outrider.settings import Settings
from outrider.transport.channel import Channel, Reply
from outrider.world import real_ports

_ANSWER_S = 10.0
_ALLOWED_SKEW_S = 5.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_KEY = "do the cluster keys differ? Compare `outrider key status` of both, or the files of link.key_file"


def port(patient: Patient) -> Iterator[Finding]:
    """Whether a master that does not run could listen."""
    if patient.role != "master" or patient.status is not None:
        return
    link = patient.settings.link
    where = endpoint(link.bind_addr, link.port)

    async def listen() -> None:
        door = await real_ports().network.listen(link.bind_addr, link.port, asyncio.Protocol)
        door.close()

    try:
        asyncio.run(listen())
    except SettingsError as error:
        yield Finding.bad(
            "port", str(error), f"end what listens there (ss -ltnp 'sport = :{link.port}'), or set link.port"
        )
    else:
        yield Finding.good("port", f"a master may listen on {where}")


def master(patient: Patient) -> Iterator[Finding]:
    """Whether the master that this node dials, or is, answers; how far the clocks are apart."""
    settings = patient.settings
    if settings.link.key is None or (patient.role == "master" and patient.status is None):
        return
    if patient.role != "master" and not settings.link.nodes:
        yield Finding.warning("master", "link.nodes is empty", "a worker needs the address of its master there")
        return
    bound = settings.link.bind_addr
    host = _ANYWHERE.get(bound, bound) if patient.role == "master" else settings.link.nodes[0]
    where = endpoint(host, settings.link.port)
    try:
        echo = asyncio.run(_echo(settings, host, real_ports()))
    except TransportError as error:
        yield _unreached(where, error)
    except OutriderError as error:
        yield Finding.bad("master", f"{where}: {error}", _KEY)
    else:
        yield Finding.good("master", f"{where} answers within {1000 * echo.seconds:.0f} ms and has the same key")
        yield from _clock(settings, echo.ahead_s)


class _Echo(NamedTuple):
    seconds: float
    ahead_s: float


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


async def _echo(settings: Settings, host: str, ports: Ports) -> _Echo:
    seal = _Stamped(KeyRing(settings.link.keys))
    connection = Connection(seal, ports.random, serves={}, limits=LinkLimits())
    channel = Channel(connection, _Caller(), ports)
    await ports.network.dial(host, settings.link.port, lambda: channel)
    began = time.perf_counter()
    try:
        await channel.request(ECHO, b"doctor", _ANSWER_S)
    finally:
        channel.close("the question is answered")
    return _Echo(time.perf_counter() - began, seal.stamp - ports.wall())


def _unreached(where: str, error: TransportError) -> Finding:
    text = str(error)
    if "closed" in text:  # a master closes without a word what it cannot open (1.3)
        return Finding.bad("master", f"{where} closes the connection: {text}", _KEY)
    return Finding.bad(
        "master", f"{where}: {text}", "start the master; if it runs, open link.port in the firewalls between"
    )


def _clock(settings: Settings, ahead_s: float) -> Iterator[Finding]:
    apart = f"the master's clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    remedy = "have both machines follow a time server (timedatectl set-ntp true)"
    allowed = settings.link.token_age_s
    # whole seconds on the wire, and the answer's way
    if allowed and abs(ahead_s) > min(allowed, 60):
        yield Finding.bad("master", f"{apart}: {AGE_SETTING} = {allowed:g} refuses what it says", remedy)
    elif abs(ahead_s) > _ALLOWED_SKEW_S:
        yield Finding.warning("master", apart, remedy)
    else:
        yield Finding.good("master", "the clocks agree")
