"""wazuh-db's stream in any pieces gives the same answers; records split into requests keep content, order and limit."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import StoreError
from outrider.store.wazuh_db.batches import Command, Record, split
from outrider.store.wazuh_db.frames import LARGEST, AnswerReader, pack_request

CUTS = st.lists(st.integers(1, 50), max_size=30)
RECORDS = st.lists(st.builds(Record, st.integers(1, 2**31 - 1), st.binary(max_size=60)), max_size=40)


def fed(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bool, int]:
    """The answers in a stream cut like this, whether it was refused, and what was left over."""
    reader = AnswerReader()
    answers: list[bytes] = []
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        try:
            for answer in reader.feed(piece):
                answers.append(answer)  # noqa: PERF402  (those before the refusal count)
        except StoreError:
            return answers, True, 0
    return answers, False, reader.buffered


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=8), CUTS)
def test_any_cut_gives_the_messages_that_were_packed(messages: list[bytes], cuts: list[int]) -> None:
    assert fed(b"".join(map(pack_request, messages)), cuts) == (messages, False, 0)


@given(st.lists(st.binary(max_size=20).map(lambda text: bytes([len(text), 0, 0, 0]) + text), max_size=4), CUTS)
def test_any_cut_of_a_stream_that_goes_wrong_gives_the_same(good: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(good) + b"\1\0\1\0rubbish"
    assert fed(stream, cuts) == fed(stream, []) == ([answer[4:] for answer in good], True, 0)


@given(st.binary(max_size=200), CUTS)
def test_rubbish_is_read_the_same_in_any_pieces(rubbish: bytes, cuts: list[int]) -> None:
    assert fed(rubbish, cuts) == fed(rubbish, [])


@given(RECORDS, st.integers(0, 200))
def test_splitting_keeps_records_and_order_and_never_exceeds_the_room(records: list[Record], room: int) -> None:
    batches = list(split(records, room))
    assert [record for batch in batches for record in batch] == records
    for batch in batches:
        size = len(b",".join(record.text for record in batch))
        assert size <= room or len(batch) == 1


@given(RECORDS, st.integers(1, 200))
def test_no_two_neighbours_would_have_fitted_into_one(records: list[Record], room: int) -> None:
    batches = list(split(records, room))
    for batch, following in pairwise(batches):
        assert len(b",".join(record.text for record in [*batch, following[0]])) > room


@given(st.lists(st.integers(0, 40_000), max_size=8))
def test_no_request_exceeds_what_wazuh_db_reads(sizes: list[int]) -> None:
    command = Command(b"global sync-agent-info-set [", b"]")
    for batch in split((Record(1, b"x" * size) for size in sizes), command.room):
        assert len(command.request(batch)) <= LARGEST
