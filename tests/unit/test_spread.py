"""Durations are counted once each, by the bound that holds them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.spread import BOUNDS_S, Spread


def test_a_duration_at_a_bound_is_within_it() -> None:
    seen = Spread().and_one(BOUNDS_S[2])
    assert [index for index, times in enumerate(seen.within) if times] == [2]


def test_what_is_beyond_all_bounds_is_counted_last() -> None:
    assert Spread().and_one(BOUNDS_S[-1] * 2).within[-1] == 1


@given(st.lists(st.floats(0, 1000)))
def test_each_is_counted_once(durations: list[float]) -> None:
    seen = Spread()
    for seconds in durations:
        seen = seen.and_one(seconds)
    assert len(seen) == len(durations)
    assert abs(seen.seconds - sum(durations)) < 1e-6 * (1 + sum(durations))
    for index, bound in enumerate(BOUNDS_S):
        assert sum(seen.within[: index + 1]) == sum(seconds <= bound for seconds in durations)
