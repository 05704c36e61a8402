"""What work costs where much of it goes on at once: the process's CPU time, shared by those that are at work.

Nobody can tell which of several rounds a thread of the core hashed for. So each moment's time belongs to all that are
under way, in equal parts: what all rounds took together is what the process took while any of them ran. Besides, each
piece of work has a number of its own, under which the log tells of it (:data:`under_way`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

under_way: Final[ContextVar[str | None]] = ContextVar("under_way", default=None)
"""The number, as text, of the piece of work that the running task is at."""


class Work:
    """One piece of work; ``cpu_seconds`` is what it has cost so far, all of it once it has ended."""

    def __init__(self, number: int, cpu_seconds: Callable[[], float]) -> None:
        self.number = number
        self._cpu_seconds = cpu_seconds
        self._whole: float | None = None

    @property
    def cpu_seconds(self) -> float:
        """Seconds."""
        return self._cpu_seconds() if self._whole is None else self._whole

    def end(self) -> None:
        """From here on it costs nothing more."""
        self._whole = self._cpu_seconds()


class Shares:
    """See the module. ``cpu`` gives the seconds of CPU time that this process has taken so far."""

    def __init__(self, cpu: Callable[[], float] = lambda: 0.0) -> None:
        self._cpu = cpu
        self._at_work = 0
        self._numbers = 0
        self._seen = 0.0
        self._each = 0.0  # what one that had always been at work would have cost

    @contextmanager
    def working(self) -> Iterator[Work]:
        """A piece of work, for as long as the block lasts."""
        began = self._reach()
        self._at_work += 1
        self._numbers += 1
        work = Work(self._numbers, lambda: self._reach() - began)
        outside = under_way.set(f"{self._numbers:08x}")
        try:
            yield work
        finally:
            under_way.reset(outside)
            work.end()
            self._at_work -= 1

    def _reach(self) -> float:
        now = self._cpu()
        if self._at_work:
            self._each += (now - self._seen) / self._at_work
        self._seen = now
        return self._each
