"""Frames: any cut of a stream gives the same frames, packing and reading are inverse, rubbish raises one error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import ProtocolError
from outrider.protocol.frame import Frame, FrameReader, opens_tls, pack_frame, pack_message

COUNTERS = st.integers(0, 2**32 - 1)
NAMES = st.binary(min_size=1, max_size=11).filter(lambda name: b" " not in name)
PAYLOADS = st.binary(max_size=200)
MESSAGES = st.lists(st.tuples(COUNTERS, NAMES, PAYLOADS), max_size=6)
CUTS = st.lists(st.integers(1, 60), max_size=40)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces of these sizes, then the rest in one."""
    cut = []
    for size in cuts:
        cut.append(stream[:size])
        stream = stream[size:]
    return [*cut, stream]


@given(MESSAGES, CUTS)
def test_any_cut_gives_the_frames_that_were_packed(messages: list[tuple[int, bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(pack_frame(*message) for message in messages)
    reader = FrameReader(200)
    frames = [frame for piece in pieces(stream, cuts) for frame in reader.feed(piece)]
    assert frames == [Frame(counter, name, False, payload) for counter, name, payload in messages]
    assert reader.buffered == 0


@given(COUNTERS, NAMES, st.binary(max_size=500), st.integers(1, 100))
def test_the_parts_of_a_message_join_to_it(counter: int, name: bytes, payload: bytes, part_bytes: int) -> None:
    message = pack_message(counter, name, payload, len(payload), part_bytes)
    frames = list(FrameReader(part_bytes).feed(message))
    assert b"".join(frame.payload for frame in frames) == payload
    assert {(frame.counter, frame.name) for frame in frames} == {(counter, name)}
    assert [frame.divided for frame in frames] == [True] * (len(frames) - 1) + [False]


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_threat_06_rubbish_raises_one_error_or_waits(rubbish: list[bytes]) -> None:
    reader = FrameReader(1000)
    try:
        for piece in rubbish:
            for frame in reader.feed(piece):
                assert len(frame.payload) <= 1000
    except ProtocolError as error:
        assert "the limit here is 1000" in str(error)  # noqa: PT017  (the error ends the loop, the test goes on below)
    assert reader.buffered <= sum(map(len, rubbish))


@given(COUNTERS, st.from_regex(rb"[a-z_-]{1,11}", fullmatch=True), PAYLOADS)
def test_no_frame_of_ours_looks_like_tls_however_it_begins(counter: int, name: bytes, payload: bytes) -> None:
    for first in (counter, 0x16030100 | counter & 0xFF):
        frame = pack_frame(first, name, payload)
        verdicts = [opens_tls(frame[:size]) for size in range(len(frame) + 1)]
        assert verdicts[0] is None
        assert verdicts[-1] is False
        assert set(verdicts[:10]) <= {None, False}


@given(st.binary(min_size=32, max_size=32), st.integers(40, 16_000))
def test_a_greeting_of_tls_is_known_by_its_tenth_byte_and_not_before(chance: bytes, size: int) -> None:
    record = b"\x16\x03\x01" + (size + 4).to_bytes(2, "big") + b"\x01" + size.to_bytes(3, "big") + b"\x03\x03" + chance
    verdicts = [opens_tls(record[:end]) for end in range(len(record) + 1)]
    assert verdicts[:10] == [None] * 10
    assert set(verdicts[10:]) == {True}
