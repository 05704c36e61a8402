"""Part of a real session as it was sent: our decoder reads it, whole and cut; our encoder writes the same headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.recordings.vectors import KEY, VECTORS

from outrider.ports import Instant
from outrider.protocol.commands import RESPONSES, TABLE
from outrider.protocol.connection import Connection, LinkLimits
from outrider.protocol.events import Event, Requested
from outrider.protocol.frame import FrameReader, pack_frame
from outrider.protocol.seal import KeyRing

ROWS = [json.loads(line) for line in (VECTORS / "session-1-wire.jsonl").read_text().splitlines()]
RING = KeyRing([KEY.encode()])
NOW = Instant(0, 1_795_468_880)


def stream(direction: str) -> bytes:
    return b"".join(bytes.fromhex(row["wire_hex"]) for row in ROWS if row["dir"] == direction)


def connection() -> Connection:
    link = Connection(RING, Random(1), serves=TABLE, limits=LinkLimits)
    link.known()
    return link


def recorded_requests(direction: str) -> Iterator[Event]:
    for row in ROWS:
        name = row["command"].strip().encode()
        if row["dir"] == direction and name not in RESPONSES:
            yield Requested(row["counter"], TABLE[name], bytes.fromhex(row["payload_hex"]))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['dir']} {row['command']}")
def test_every_frame_opens_and_our_own_has_the_same_header(row: dict[str, Any]) -> None:
    recorded = bytes.fromhex(row["wire_hex"])
    (frame,) = FrameReader(10_000).feed(recorded)
    plain = bytes.fromhex(row["payload_hex"])
    assert (frame.counter, frame.name) == (row["counter"], row["command"].strip().encode())
    assert RING.open(frame.payload, NOW.wall) == plain
    ours = pack_frame(frame.counter, row["command"].encode(), RING.seal(plain, NOW.wall))
    assert ours[:20] == recorded[:20]
    assert len(ours) == len(recorded)
    (again,) = FrameReader(10_000).feed(ours)
    assert RING.open(again.payload, NOW.wall) == plain


@pytest.mark.parametrize("direction", ["w>m", "m>w"])
def test_cut_at_every_byte_the_events_are_the_same(direction: str) -> None:
    sent = stream(direction)
    expected = list(recorded_requests(direction))
    assert connection().receive(sent, NOW) == expected
    for cut in range(1, len(sent)):
        link = connection()
        assert link.receive(sent[:cut], NOW) + link.receive(sent[cut:], NOW) == expected


@pytest.mark.parametrize("direction", ["w>m", "m>w"])
def test_byte_by_byte_the_events_are_the_same(direction: str) -> None:
    link = connection()
    sent = stream(direction)
    events = [event for at in range(len(sent)) for event in link.receive(sent[at : at + 1], NOW)]
    assert events == list(recorded_requests(direction))
    assert link.dropped_answers == sum(row["dir"] == direction for row in ROWS) - len(events)


def test_the_odd_answers_are_padded_byte_by_byte() -> None:
    fields = {bytes.fromhex(row["wire_hex"])[8:20] for row in ROWS}
    assert b"ok  --------" in fields
    assert pack_frame(1, b"ok-m ", b"")[8:] == b"ok-m  ------"
