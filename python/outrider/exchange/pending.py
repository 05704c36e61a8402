"""What is still to come, told to who waits for it at once: without a task, and without a turn of the event loop.

A future tells its listeners in the loop's next turn. The answer to a request passes several hands on its way through a
node; here the frame that brings it reaches the last of them in one call. Who has nothing else to do can ``await`` it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Pending(Generic[T]):
    """One outcome, a value or an error, for one listener.

    Whoever does not want it any more calls :meth:`give_up`: then nobody is told, and ``end`` has the work ended.
    """

    __slots__ = ("_end", "_listener", "_outcome", "given_up", "settled")

    def __init__(self, end: Callable[[], object] | None = None) -> None:
        self.settled = False
        self.given_up = False
        self._end = end
        self._listener: Callable[[T | Exception], None] | None = None
        self._outcome: T | Exception

    @classmethod
    def now(cls, outcome: T | Exception) -> Self:
        """What is there already."""
        pending = cls()
        pending.settle(outcome)
        return pending

    @classmethod
    def of(cls, work: Pending[T] | Coroutine[Any, Any, T]) -> Pending[T]:
        """What ``work`` returns or raises; it runs in a task, which is cancelled when nobody wants it any more."""
        if isinstance(work, Pending):
            return work
        task = asyncio.ensure_future(work)
        pending = cls(task.cancel)

        def ended(task: asyncio.Task[T]) -> None:
            error = None if task.cancelled() else task.exception()
            if task.cancelled():
                pending.give_up()
            elif error is None:
                pending.settle(task.result())
            elif isinstance(error, Exception):  # anything else ends the loop by itself
                pending.settle(error)

        task.add_done_callback(ended)
        return pending

    @property
    def is_open(self) -> bool:
        """Whether it is still to come, and wanted."""
        return not (self.settled or self.given_up)

    def settle(self, outcome: T | Exception) -> None:
        """Tell it; nothing happens if it was told or given up before."""
        if self.settled or self.given_up:
            return
        self.settled = True
        self._outcome = outcome
        listener, self._listener, self._end = self._listener, None, None
        if listener is not None:
            listener(outcome)

    def then(self, listener: Callable[[T | Exception], None]) -> None:
        """Tell ``listener`` the outcome, now if it is there."""
        if self.settled:
            listener(self._outcome)
        else:
            self._listener = listener

    def made(self, value: Callable[[T], U]) -> Pending[U]:
        """The same, with ``value`` of a value in that value's place."""
        pending: Pending[U] = Pending(self.give_up)
        self.then(lambda outcome: pending.settle(outcome if isinstance(outcome, Exception) else value(outcome)))
        return pending

    def otherwise(self, value: Callable[[Exception], T]) -> Pending[T]:
        """The same, with ``value`` of an error in that error's place."""
        pending: Pending[T] = Pending(self.give_up)
        self.then(lambda outcome: pending.settle(value(outcome) if isinstance(outcome, Exception) else outcome))
        return pending

    def give_up(self) -> None:
        """Nobody waits any more; nothing happens if it is settled."""
        if self.settled or self.given_up:
            return
        self.given_up = True
        end, self._listener, self._end = self._end, None, None
        if end is not None:
            end()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait; whoever is cancelled meanwhile has given up."""
        if not self.settled:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(lambda _: None if told.done() else told.set_result(None))
            try:
                yield from told
            finally:
                self.give_up()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
