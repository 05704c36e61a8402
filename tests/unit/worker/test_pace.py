"""Parts under way: as many as the line takes, and what waits behind them never waits for long."""

from __future__ import annotations

from collections import deque

import pytest

from outrider.protocol.generations import PART_BYTES
from outrider.worker.pace import MOST, Pace


def longest_wait(bytes_per_s: float, way_s: float, parts: int = 200) -> tuple[float, float]:
    """Play a line: the longest time for which a part was under way after the first twenty, and the bytes a second."""
    pace, now, free = Pace(), 0.0, 0.0
    under_way: deque[tuple[float, float]] = deque()
    waits = []
    for _ in range(parts):
        while len(under_way) < pace.most:
            free = max(free, now + way_s / 2) + PART_BYTES / bytes_per_s
            under_way.append((now, free + way_s / 2))
        asked, now = under_way.popleft()
        pace.came(now - asked)
        waits.append(now - asked)
    return max(waits[20:]), parts * PART_BYTES / now


@pytest.mark.parametrize(("bytes_per_s", "way_s"), [(1e6, 0.001), (1e6, 0.2), (3e5, 0.05), (1e5, 0.05)])
def test_threat_41_on_a_slow_line_nothing_waits_long_behind_bulk_and_the_line_is_full(
    bytes_per_s: float, way_s: float
) -> None:
    longest, speed = longest_wait(bytes_per_s, way_s)
    assert longest <= way_s + 1 + 2 * PART_BYTES / bytes_per_s
    assert speed > 0.9 * bytes_per_s


@pytest.mark.parametrize("way_s", [0.0001, 0.1, 2.0])
def test_on_a_fast_line_the_way_alone_is_what_bounds_it(way_s: float) -> None:
    longest, speed = longest_wait(1e9, way_s)
    assert longest <= way_s + 0.01
    assert speed > 0.5 * min(1e9, MOST * PART_BYTES / way_s)
