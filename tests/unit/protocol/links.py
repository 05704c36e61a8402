"""A connection under test, and a peer that speaks in plain frames."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from outrider.ports import Instant
from outrider.protocol.commands import ECHO, FILE_UPD, HELLO, INTEGRITY_PERMISSION, NEW_STR, TABLE, Command, by_name
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.frame import Frame, FrameReader
from outrider.protocol.seal import NoSeal, Seal

WALL = 1_700_000_000.0
SERVED = by_name([ECHO, HELLO, NEW_STR, INTEGRITY_PERMISSION, FILE_UPD])
LIMITS = LinkLimits(unknown_frame_bytes=1000, frame_bytes=10_000, message_bytes=20_000, open_messages=4)


def at(seconds: float) -> Instant:
    return Instant(seconds, WALL + seconds)


def link(
    *,
    known: bool = True,
    serves: Mapping[bytes, Command] = SERVED,
    limits: LinkLimits = LIMITS,
    handshake_deadline: float | None = None,
    seal: Seal | None = None,
    seed: int = 1,
) -> Connection:
    connection = Connection(
        seal or NoSeal(), Random(seed), serves=serves, limits=lambda: limits, handshake_deadline=handshake_deadline
    )
    if known:
        connection.known()
    return connection


def sent(connection: Connection) -> list[Frame]:
    return list(FrameReader(2**32).feed(connection.bytes_to_send()))


def everything() -> Mapping[bytes, Command]:
    return TABLE
