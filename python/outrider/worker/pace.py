"""How many parts of a bundle are under way at a time: many on a fast line, few where they queue up on a slow one.

What else the link carries waits behind them: a keep-alive must not be starved by bulk (threats 41). Pure.
"""

from __future__ import annotations

import math
from typing import Final

MOST: Final = 16
"""Parts of 256 KiB: 4 MiB, enough for 40 MB/s over 100 ms."""
_FIRST: Final = 4
_LEAST: Final = 2
_QUEUE_S: Final = 0.5
"""What a part takes longer than the fastest one it has waited behind others: that shall be no more than this."""


class Pace:
    """``most`` parts may be under way."""

    def __init__(self) -> None:
        self.most = _FIRST
        self._fastest_s = math.inf

    def came(self, seconds: float) -> None:
        """A part came so long after it was asked for."""
        self._fastest_s = min(self._fastest_s, seconds)
        queued_s = seconds - self._fastest_s
        if queued_s > _QUEUE_S:
            self.most = max(_LEAST, self.most - 1)
        elif queued_s < _QUEUE_S / 2:  # between the two it is about right
            self.most = min(MOST, self.most + 1)
