"""Frames: any cut of a stream gives the same frames, packing and reading are inverse, rubbish raises one error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import ProtocolError
from outrider.protocol.frame import Frame, FrameReader, pack_frame, pack_message

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
