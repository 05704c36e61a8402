"""How late the event loop is: the time between when a timer was due and when it ran. Whatever blocks the loop shows.

It measures while somebody looks, and for some minutes after: a node that nobody watches wakes up for nobody.
"""

from __future__ import annotations

import asyncio
from typing import Final

from outrider.spread import Spread

_EVERY_S: Final = 0.5
_AFTER_S: Final = 300.0
"""Metrics are fetched every minute, or more often."""


class LoopLag:
    """See the module. ``seen`` is what was measured so far, and grows."""

    def __init__(self) -> None:
        self.seen = Spread()
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """Somebody looks; from another thread than the loop's nothing begins."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._until = loop.time() + _AFTER_S
        if self._timer is None:
            self._wait(loop)

    def close(self) -> None:
        """Nobody looks any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _EVERY_S
        self._timer = loop.call_at(due, self._measure, loop, due)

    def _measure(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.seen = self.seen.and_one(max(0.0, now - due))
        self._timer = None
        if now < self._until:
            self._wait(loop)
