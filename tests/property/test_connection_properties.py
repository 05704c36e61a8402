"""Two connections: any cut of what one says gives the same events at the other, and rubbish only ever closes it."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from outrider.ports import Instant
from outrider.protocol.commands import ECHO, FILE_UPD, NEW_STR, TABLE, Command
from outrider.protocol.connection import Connection, LinkLimits, State
from outrider.protocol.events import Answered, Closed, Event, Requested, TimedOut
from outrider.protocol.frame import pack_frame, pack_message
from outrider.protocol.seal import KeyRing, NoSeal, Seal

NOW = Instant(0, 1_700_000_000)
RING = KeyRing([b"a" * 32])
LIMITS = LinkLimits(unknown_frame_bytes=2000, frame_bytes=5000, message_bytes=5000, open_messages=3)
COMMANDS = st.sampled_from([ECHO, NEW_STR, FILE_UPD])
CUTS = st.lists(st.integers(1, 200), max_size=30)
COUNTERS = st.integers(0, 2**32 - 1)


def link(seal: Seal, seed: int = 1, *, known: bool = True) -> Connection:
    connection = Connection(seal, Random(seed), serves=TABLE, limits=lambda: LIMITS)
    if known:
        connection.known()
    return connection


def receive(connection: Connection, stream: bytes, cuts: list[int]) -> list[Event]:
    events = []
    for size in cuts:
        events += connection.receive(stream[:size], NOW)
        stream = stream[size:]
    return events + connection.receive(stream, NOW)


@given(st.lists(st.tuples(COMMANDS, st.binary(max_size=400)), max_size=6), CUTS)
def test_any_cut_of_sealed_requests_gives_the_same_events(asked: list[tuple[Command, bytes]], cuts: list[int]) -> None:
    left, right = link(RING, 1), link(RING, 2)
    counters = [left.request(command, payload, NOW, 20) for command, payload in asked]
    events = receive(right, left.bytes_to_send(), cuts)
    assert events == [Requested(counter, *row) for counter, row in zip(counters, asked, strict=True)]
    for counter, (_, payload) in zip(counters, asked, strict=True):
        right.reply(counter, b"ok", payload, NOW)
    answers = receive(left, right.bytes_to_send(), cuts)
    assert answers == [Answered(counter, b"ok", row[1]) for counter, row in zip(counters, asked, strict=True)]
    assert left.next_deadline() is None


FRAMES = st.tuples(
    COUNTERS.map(lambda counter: counter % 4),
    st.sampled_from([b"echo", b"ok", b"err", b"new_str", b"foo", b"hello", b"ok-m"]),
    st.binary(max_size=50),
    st.sampled_from([b"", b"", b"d"]),
).map(lambda parts: pack_frame(*parts))


@given(st.lists(FRAMES, max_size=20), CUTS, st.booleans())
def test_any_cut_of_odd_frames_gives_the_same_events(frames: list[bytes], cuts: list[int], known: bool) -> None:
    stream = b"".join(frames)
    whole, cut = link(NoSeal(), known=known), link(NoSeal(), known=known)
    assert receive(cut, stream, cuts) == whole.receive(stream, NOW)
    assert cut.bytes_to_send() == whole.bytes_to_send()
    assert cut.state is whole.state
    assert cut.dropped_answers == whole.dropped_answers


@given(st.binary(max_size=600), CUTS, st.booleans(), st.sampled_from([NoSeal(), RING]))
def test_threat_06_rubbish_is_an_event_or_nothing(rubbish: bytes, cuts: list[int], known: bool, seal: Seal) -> None:
    connection = link(seal, known=known)
    connection.request(ECHO, b"", NOW, 20)
    events = receive(connection, rubbish, cuts)
    assert sum(isinstance(event, Closed) for event in events) == (connection.state is State.CLOSED)
    assert not any(isinstance(event, Closed) for event in events[:-1])


@given(st.binary(min_size=1, max_size=300), st.integers(0, 10_000), st.integers(0, 7))
def test_threat_06_a_flipped_bit_never_changes_a_sealed_payload(payload: bytes, at: int, bit: int) -> None:
    left, right = link(RING, 1), link(RING, 2)
    left.request(ECHO, payload, NOW, 20)
    stream = bytearray(left.bytes_to_send())
    stream[at % len(stream)] ^= 1 << bit
    for event in right.receive(bytes(stream), NOW):
        assert isinstance(event, Closed | Requested)
        if isinstance(event, Requested):
            assert event.payload == payload


@given(st.binary(max_size=300), st.integers(1, 50), st.binary(max_size=300), st.integers(1, 50))
def test_interleaved_parts_join(one: bytes, one_part: int, two: bytes, two_part: int) -> None:
    parts = [(1, one, one_part), (2, two, two_part)]
    left, right = ([*_frames(pack_message(n, b"echo", body, len(body), size))] for n, body, size in parts)
    mixed = [frame for pair in zip(left, right, strict=False) for frame in pair]
    rest = left[len(right) :] + right[len(left) :]
    events = link(NoSeal()).receive(b"".join(mixed + rest), NOW)
    assert sorted(event for event in events if isinstance(event, Requested)) == [
        Requested(1, ECHO, one),
        Requested(2, ECHO, two),
    ]


def _frames(message: bytes) -> list[bytes]:
    frames = []
    while message:
        end = 20 + int.from_bytes(message[4:8])
        frames.append(message[:end])
        message = message[end:]
    return frames


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 50)), max_size=20))
def test_every_request_times_out_once_and_in_order(requests: list[tuple[float, float]]) -> None:
    connection = link(NoSeal())
    due = {}
    for moment, timeout in sorted(requests):
        due[connection.request(ECHO, b"", Instant(moment, 0), timeout)] = moment + timeout
    told = []
    while (deadline := connection.next_deadline()) is not None:
        for event in connection.tick(Instant(deadline, 0)):
            assert isinstance(event, TimedOut)
            assert due[event.counter] <= deadline
            told.append(event.counter)
    assert sorted(told) == sorted(due)
    assert [due[counter] for counter in told] == sorted(due.values())
