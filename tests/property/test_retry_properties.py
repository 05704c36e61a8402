"""Whatever fails in whatever order: no pause is over its cap, and no cause alarms twice before it worked."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import HeldBackError, Nature, OutriderError, PeerError, TransportError
from outrider.retry import ALARM_AFTER, PERMANENT_S, Streak, Tell

CAUSES: list[OutriderError] = [
    kind(text) for kind in (TransportError, PeerError, HeldBackError) for text in ("one", "two", "three")
]
LONGEST = {Nature.TEMPORARY: 0.0, Nature.PEER: 120.0, Nature.PERMANENT: float(PERMANENT_S)}


@given(
    seed=st.integers(),
    base=st.floats(0.01, 10),
    cap=st.floats(0.01, 1000),
    steps=st.lists(st.tuples(st.none() | st.sampled_from(CAUSES), st.floats(0, 1000)), max_size=200),
)
def test_pauses_stay_below_their_caps_and_an_alarm_comes_once_for_each_cause(
    seed: int, base: float, cap: float, steps: list[tuple[OutriderError | None, float]]
) -> None:
    streak, now = Streak(Random(seed), base_s=base, cap_s=lambda: cap), 0.0
    alarms: Counter[OutriderError] = Counter()
    lines: Counter[OutriderError] = Counter()
    for error, seconds in steps:
        now += seconds
        if error is None:
            streak.worked(now)
            alarms.clear()
            lines.clear()
            continue
        again = streak.failed(error, now)
        assert 0 <= again.pause_s <= max(cap, LONGEST[error.nature])
        alarms[error] += again.tell is Tell.ALARM
        lines[error] += again.tell is Tell.LINE
        assert alarms[error] <= 1
        assert lines[error] < ALARM_AFTER
