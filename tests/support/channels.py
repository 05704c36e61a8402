"""Two channels with a network between them, and owners that answer from a table and remember what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.errors import Refusal
from outrider.ports import Ports
from outrider.protocol.commands import OK, Command, by_name
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.seal import NoSeal, Seal
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel

Serve = Callable[[bytes], Reply | Awaitable[Reply]]


async def never(_: bytes) -> Reply:
    """Serve a request for ever."""
    await asyncio.sleep(10**9)
    raise AssertionError


def refuse(code: int) -> Serve:
    """Answer every request with an error."""

    def serve(_: bytes) -> Reply:
        raise Refusal(code, "no")

    return serve


def say(text: bytes, name: bytes = OK) -> Serve:
    """Answer every request with the same words."""
    return lambda _: Reply(text, name)


class Side:
    """One end: its channel, and what its owner saw."""

    def __init__(self, ports: Ports, serves: Mapping[Command, Serve], seal: Seal, deadline: float | None) -> None:
        self.serves = dict(serves)
        self.ports = ports
        self.requests: list[tuple[str, bytes]] = []
        self.lost_reasons: list[str] = []
        connection = Connection(
            seal, ports.random, serves=by_name(self.serves), limits=LinkLimits, handshake_deadline=deadline
        )
        self.channel = Channel(connection, self, ports)

    def connected(self, channel: Channel) -> None:
        assert channel is self.channel

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        self.requests.append((str(command), payload))
        return self.serves[command](payload)

    def lost(self, reason: str) -> None:
        self.lost_reasons.append(reason)


class Pair:
    """A near side that dialled and a far side that listens; both know each other unless ``known`` is False."""

    def __init__(self, fabric: Fabric, near: Side, far: Side) -> None:
        self.fabric = fabric
        self.near = near
        self.far = far


async def pair(
    near: Mapping[Command, Serve] | None = None,
    far: Mapping[Command, Serve] | None = None,
    *,
    known: bool = True,
    seal: Seal | None = None,
    deadline: float | None = None,
) -> Pair:
    """Connect two sides."""
    fabric = Fabric(Random(1))
    sides = [
        Side(simulated_ports(fabric, "near"), near or {}, seal or NoSeal(), None),
        Side(simulated_ports(fabric, "far"), far or {}, seal or NoSeal(), deadline),
    ]
    await sides[1].ports.network.listen("", 1516, lambda: sides[1].channel)
    await sides[0].ports.network.dial("far", 1516, lambda: sides[0].channel)
    if known:
        for side in sides:
            side.channel.connection.known()
    return Pair(fabric, *sides)
