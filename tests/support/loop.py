"""An event loop whose clock jumps: when nothing is ready, it is at once as late as the next timer wants it.

Nothing sleeps, so an hour takes as long as what happens in it. The loop runs callbacks in the order
in which they were due, which with seeded chance makes a run repeatable.

A simulation is mostly steps of this loop, so that asyncio's are replaced by leaner ones: no question for each of them
whether somebody debugs, timers that the heap compares as the numbers they are, and nothing asked of the system unless
a test waits for a signal.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar
from weakref import ref

from msgspec import Struct

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""Unix seconds at the start of every simulation."""

_RESOLUTION_S = time.get_clock_info("monotonic").resolution
_LONGEST_JUMP_S = 24 * 3600.0
_MANY_TIMERS = 50
"""So many that were cancelled are taken out once they are more than half of all, as asyncio's loop does."""


class _Soon(Struct, gc=False):
    """A callback that runs with the next turn. The names are those of asyncio's handles."""

    _callback: Any
    _args: Any
    _context: Context
    _cancelled: bool = False

    def cancel(self) -> None:
        """It will not run."""
        self._cancelled = True
        self._callback = self._args = None

    def cancelled(self) -> bool:
        """Whether it will not run."""
        return self._cancelled


class _Timer(float):
    """A callback that runs at a time, which it is."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_loop", "_waits")
    _args: Any
    _callback: Any
    _cancelled: bool
    _context: Context
    _loop: VirtualLoop
    _waits: bool

    def cancel(self) -> None:
        """It will not run."""
        if not self._cancelled and self._waits:
            self._loop.cancelled_timers += 1
        self._cancelled = True
        self._callback = self._args = None

    def cancelled(self) -> bool:
        """Whether it will not run."""
        return self._cancelled

    def when(self) -> float:
        """The time of the loop at which it runs."""
        return float(self)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Its time starts at 0 and is the same in every run."""

    _ready: deque[Any]
    _scheduled: list[_Timer]
    _signal_handlers: dict[int, Any]
    _stopping: bool

    def __init__(self) -> None:
        self._now = 0.0
        self.complaints: list[str] = []
        self.cancelled_timers = 0
        self._tasks: list[ref[asyncio.Task[Any]]] = []
        super().__init__()
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Seconds since the start."""
        return self._now

    def wall(self) -> float:
        """Unix seconds."""
        return EPOCH + self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """Run a callback with the next turn."""
        step = _Soon(callback, args, copy_context() if context is None else context)
        self._ready.append(step)
        return step

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """Run a callback at this time."""
        timer = _Timer(when)
        timer._callback = callback
        timer._args = args
        timer._context = copy_context() if context is None else context
        timer._cancelled = False
        timer._loop = self
        timer._waits = True
        heapq.heappush(self._scheduled, timer)
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """Run a callback after so many seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        """Start a task."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(ref(task))
        return task

    def pending(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended: ``asyncio.all_tasks`` asks those of all loops that there ever were."""
        living = [task for one in self._tasks if (task := one()) is not None and not task.done()]
        self._tasks = [ref(task) for task in living]
        return living

    def end(self) -> None:
        """Cancel what still runs, wait for it, and close."""
        try:
            left = self.pending()
            for task in left:
                task.cancel()
            if left:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            for task in left:
                if not task.cancelled() and (error := task.exception()) is not None:
                    self.call_exception_handler(
                        {"message": f"{task.get_name()} failed as it ended", "exception": error}
                    )
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()

    def _run_once(self) -> None:
        """Turns until the loop is to stop: time passes if nothing is ready, then all runs that is due."""
        ready = self._ready
        while True:
            self._make_ready()
            for _ in range(len(ready)):
                step = ready.popleft()
                if not step._cancelled:
                    try:
                        step._context.run(step._callback, *step._args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:  # noqa: BLE001  (as asyncio's handles do)
                        self.call_exception_handler({"message": f"{step._callback!r} failed", "exception": error})
            if self._stopping:
                return

    def _make_ready(self) -> None:
        """What is due is ready; if nothing is, it gets as late as the next timer wants it."""
        ready, timers = self._ready, self._scheduled
        self._drop_cancelled()
        if not ready and not self._stopping:
            if not timers:
                raise RuntimeError("the simulation is stuck: nothing is ready and no timer is set")
            self._now += min(max(0, timers[0] - self._now), _LONGEST_JUMP_S)
        if self._signal_handlers:
            self._process_events(self._selector.select(0))  # type: ignore[attr-defined]
        due = self._now + _RESOLUTION_S
        while timers and timers[0] < due:
            timer = heapq.heappop(timers)
            timer._waits = False
            ready.append(timer)

    def _drop_cancelled(self) -> None:
        """The first timer is one that is to run."""
        timers = self._scheduled
        if self.cancelled_timers > _MANY_TIMERS and 2 * self.cancelled_timers > len(timers):
            timers[:] = [timer for timer in timers if not timer._cancelled]
            heapq.heapify(timers)
            self.cancelled_timers = 0
        while timers and timers[0]._cancelled:
            self.cancelled_timers -= 1
            heapq.heappop(timers)._waits = False

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what nobody handled: a test that left any has failed."""
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run ``story`` in virtual time; an error that nobody handled fails it."""
    loop = VirtualLoop()
    try:
        outcome = loop.run_until_complete(story)
    finally:
        loop.end()
    if loop.complaints:
        raise AssertionError("; ".join(loop.complaints))
    return outcome
