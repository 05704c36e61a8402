"""Chunks keep what they are made of; any mixture of answers ends with every record confirmed or put aside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.sync.agent_info import Pace, Step, Verdict, cut, halves, join, records_of

RECORDS = st.lists(st.binary(max_size=40).map(lambda data: b'{"x":"%s"}' % data.hex().encode()), max_size=60)


@given(RECORDS, st.integers(12, 200))
def test_chunks_keep_content_order_and_bounds(records: list[bytes], limit: int) -> None:
    found = cut(b"".join(one + b"\n" for one in records), limit)
    assert all(len(chunk) <= limit for chunk in found.chunks)
    assert [one for chunk in found.chunks for one in records_of(chunk)] == [
        one for one in records if len(one) + 2 <= limit
    ]
    assert found.too_large == [one for one in records if len(one) + 2 > limit]
    # No two neighbours would have fitted into one.
    for one, after in zip(found.chunks, found.chunks[1:], strict=False):
        assert len(one) + len(records_of(after)[0]) + 1 > limit


class Master:
    """Keeps what it can, by its own moods: some records never, sometimes nothing, sometimes only the first chunks."""

    def __init__(self, never: set[int], silent: set[int], moods: list[Verdict]) -> None:
        self.never, self.silent, self.moods = never, silent, moods
        self.kept: list[int] = []

    def answer(self, message: list[bytes]) -> Verdict:
        if self.moods and (mood := self.moods.pop()) is not Verdict.KEPT:
            return mood if mood is not Verdict.SHORT or len(message) > 1 else Verdict.LATER
        numbers = [int(one) for chunk in message for one in records_of(chunk)]
        if self.never.intersection(numbers):
            return Verdict.REFUSED
        if self.silent.intersection(numbers):
            return Verdict.SHORT
        self.kept += numbers
        return Verdict.KEPT


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=25),
    st.sets(st.integers(0, 150), max_size=6),
    st.sets(st.integers(0, 150), max_size=3),
    st.lists(st.sampled_from([Verdict.LATER, Verdict.SLOW, Verdict.SHORT, Verdict.KEPT]), max_size=60),
    st.integers(1, 16),
)
def test_any_mixture_of_answers_ends_with_every_record_kept_or_aside_in_order(
    sizes: list[int], never: set[int], silent: set[int], moods: list[Verdict], most: int
) -> None:
    count = sum(sizes)
    numbers = iter(range(count))
    outbox = [join([b"%d" % next(numbers) for _ in range(size)]) for size in sizes]
    master, pace, aside = Master(never, silent - never, moods), Pace(most), list[int]()
    for _ in range(5000):
        if not outbox:
            break
        message = outbox[: pace.chunks]
        records = records_of(message[0])
        match pace.learn(master.answer(message), len(message), len(records)):
            case Step.CONFIRM:
                del outbox[: len(message)]
            case Step.SPLIT:
                outbox[:1] = halves(message[0])
            case Step.PUT_ASIDE:
                assert len(records) == 1
                aside.append(int(records[0]))
                del outbox[0]
    assert outbox == []
    assert set(aside) == {*never, *silent} & set(range(count))
    assert master.kept == [one for one in range(count) if one not in aside]
