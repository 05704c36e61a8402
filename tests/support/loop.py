"""An event loop whose clock jumps: when nothing is ready, it is at once as late as the next timer wants it.

Nothing sleeps, so an hour takes as long as what happens in it. The loop runs callbacks in the order
in which they were due, which with seeded chance makes a run repeatable.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""Unix seconds at the start of every simulation."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Its time starts at 0 and is the same in every run."""

    def __init__(self) -> None:
        self._now = 0.0
        self.complaints: list[str] = []
        super().__init__(_JumpingSelector(self))
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Seconds since the start."""
        return self._now

    def wall(self) -> float:
        """Unix seconds."""
        return EPOCH + self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    @property
    def heeds_signals(self) -> bool:
        """Whether somebody waits for a signal to this process."""
        return bool(self._signal_handlers)  # type: ignore[attr-defined]

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what nobody handled: a test that left any has failed."""
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation is stuck: nothing is ready and no timer is set")
        self._loop.jump(timeout)
        # Nothing else that is real is ever registered, and asking the system costs more than most steps.
        return super().select(0) if self._loop.heeds_signals else []


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run ``story`` in virtual time; an error that nobody handled fails it."""
    loops: list[VirtualLoop] = []

    def make() -> VirtualLoop:
        loops.append(VirtualLoop())
        return loops[-1]

    with asyncio.Runner(loop_factory=make) as runner:
        outcome = runner.run(story)
    if loops[0].complaints:
        raise AssertionError("; ".join(loops[0].complaints))
    return outcome
