"""What one peer may make us hold (specification 7.3, row 4)."""

from __future__ import annotations

import random
import sys

import pytest
from tests.unit.protocol.links import LIMITS, at, everything, link

from outrider.protocol.connection import LinkLimits, State
from outrider.protocol.events import Closed
from outrider.protocol.frame import HEADER, pack_frame
from outrider.settings.catalogue import CATALOGUE


def closed(events: list[object]) -> str:
    assert len(events) == 1
    (event,) = events
    assert isinstance(event, Closed)
    assert event.limit in CATALOGUE
    return event.reason


def test_threat_01_an_unknown_peer_that_declares_4_gib_is_closed_at_once() -> None:
    connection = link(known=False)
    reason = closed([*connection.receive(HEADER.pack(1, 2**32 - 1, b"hello ------"), at(0))])
    assert "declares 4294967295 bytes; the limit here is 1000" in reason
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("cut", [1, 5, 19])
def test_threat_01_a_header_that_comes_in_two_pieces_is_read_as_strictly(cut: int) -> None:
    connection = link(known=False)
    header = HEADER.pack(1, 2**32 - 1, b"hello ------")
    assert connection.receive(header[:cut], at(0)) == []
    assert "the limit here is 1000" in closed([*connection.receive(header[cut:], at(1))])
    assert connection.state is State.CLOSED


def test_a_known_peer_may_send_larger_frames() -> None:
    frame = pack_frame(1, b"echo", bytes(5000))
    assert len(link().receive(frame, at(0))) == 1
    assert "the limit here is 1000" in closed([*link(known=False).receive(frame, at(0))])
    assert "the limit here is 10000" in closed([*link().receive(pack_frame(1, b"echo", bytes(10_001)), at(0))])


def test_threat_04_a_million_parts_with_ids_of_their_own_are_bounded() -> None:
    connection = link(limits=LinkLimits(open_messages=64))
    flood = b"".join(pack_frame(counter, b"echo", b"x", b"d") for counter in range(10_000))
    reason = closed([*connection.receive(flood, at(0))])
    assert reason == "more than 64 divided messages open at once (limits.open_messages)"
    assert len(connection._divided) == 0
    # The rest of the million arrives at a closed door.
    for _ in range(99):
        assert connection.receive(flood, at(0)) == []
    assert connection._reader.buffered == 0


@pytest.mark.parametrize("part", [b"", b"x"])
def test_threat_04_a_million_parts_of_one_message_cost_what_they_sent(part: bytes) -> None:
    connection = link(limits=LinkLimits(message_bytes=64 * 1024 * 1024))
    flood = pack_frame(1, b"echo", part, b"d") * 10_000
    for _ in range(100):
        assert connection.receive(flood, at(0)) == []
    held = connection._divided[1].parts
    assert len(held) == 1_000_000 * len(part)
    assert sys.getsizeof(held) < 2_000_000
    assert connection.receive(pack_frame(1, b"echo", b"."), at(0))[0].payload == part * 1_000_000 + b"."  # type: ignore[union-attr]


def test_divided_messages_are_bounded_together() -> None:
    connection = link()
    for counter in (1, 2):
        assert connection.receive(pack_frame(counter, b"echo", bytes(10_000), b"d"), at(0)) == []
    assert "hold more than 20000 bytes" in closed([*connection.receive(pack_frame(3, b"echo", b"x", b"d"), at(0))])


def test_an_unknown_peer_may_not_collect_parts_either() -> None:
    connection = link(known=False)
    assert connection.receive(pack_frame(1, b"echo", bytes(1000), b"d"), at(0)) == []
    assert "hold more than 1000 bytes" in closed([*connection.receive(pack_frame(1, b"echo", b"x", b"d"), at(0))])


def test_what_a_finished_message_held_is_free_again() -> None:
    connection = link()
    for counter in range(100):
        message = pack_frame(counter, b"echo", bytes(9000), b"d") + pack_frame(counter, b"echo", bytes(9000))
        assert len(connection.receive(message, at(0))) == 1
    assert connection._divided_bytes == 0


def test_threat_06_random_cut_and_flipped_frames_raise_nothing() -> None:
    chance = random.Random(6)
    for round_ in range(300):
        connection = link(serves=everything(), limits=LIMITS, known=bool(round_ % 2))
        stream = bytearray(
            b"".join(pack_frame(n, chance.choice([b"echo", b"ok", b"zz"]), chance.randbytes(9)) for n in range(20))
        )
        for _ in range(chance.randrange(4)):
            stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
        data = bytes(stream) if round_ % 3 else chance.randbytes(400)
        ends = 0
        while data:
            cut = chance.randrange(1, 50)
            ends += sum(isinstance(event, Closed) for event in connection.receive(data[:cut], at(0)))
            data = data[cut:]
        assert ends == (connection.state is State.CLOSED)


@pytest.mark.parametrize("length", [1001, 2**31 - 1, 2**31, 2**32 - 20, 2**32 - 1])
def test_threat_07_no_length_overflows(length: int) -> None:
    reason = closed([*link(known=False).receive(HEADER.pack(2**32 - 1, length, b"echo -------"), at(0))])
    assert f"declares {length} bytes" in reason
