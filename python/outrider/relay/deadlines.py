"""Many deadlines under one timer of the event loop.

Most of them never come: what they bound ends before. So the timer is set for the earliest and stays when that is
cleared; when it fires early, it looks again. A timer for each would be set and cancelled for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")


class Deadlines(Generic[K]):
    """See the module. ``passed`` is called with what was due, in the order of the deadlines."""

    def __init__(self, passed: Callable[[K], None]) -> None:
        self._passed = passed
        self._due: dict[K, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, key: K, seconds: float) -> None:
        """Have ``key`` due so many seconds from now."""
        at = self._due[key] = asyncio.get_running_loop().time() + seconds
        if self._timer is None or self._timer.when() > at:
            self._wake_at(at)

    def clear(self, key: K) -> None:
        """``key`` is not due any more; nothing happens if it was not."""
        self._due.pop(key, None)

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for _, key in sorted(((at, key) for key, at in self._due.items() if at <= now), key=lambda due: due[0]):
            if self._due.pop(key, None) is not None:
                self._passed(key)
        if self._due and self._timer is None:
            self._wake_at(min(self._due.values()))
