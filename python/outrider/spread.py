"""How long something takes: how often, in all, and how many times within each of a few bounds. No clock."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from msgspec import Struct

BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds, seconds: a step that is pushed takes milliseconds, a first sync of a large tree minutes."""


class Spread(Struct, frozen=True):
    """Durations by size. ``within[i]`` of them took at most ``BOUNDS_S[i]`` and more than the bound before it.

    The last of ``within`` counts those beyond every bound. ``seconds`` is their sum.
    """

    within: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    seconds: float = 0.0

    def __len__(self) -> int:
        """How many there are."""
        return sum(self.within)

    def and_one(self, seconds: float) -> Spread:
        """The same with one more."""
        place = bisect_left(BOUNDS_S, seconds)
        within = (*self.within[:place], self.within[place] + 1, *self.within[place + 1 :])
        return Spread(within, self.seconds + seconds)
