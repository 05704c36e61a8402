"""Requests that run at the same time, bounded and fair (threats 21 to 23).

Each caller, a peer or a local client, has a quota of running and of waiting requests (``quotas.py``). Callers take
turns: one that asks a thousand times waits for itself. A request has a deadline that counts from its arrival; when that
passes, or its caller leaves, it is answered at once and its work is cancelled. Work that does not heed this
keeps its place in its caller's quota, and what it still says is dropped and counted.

Work that computes runs in a task. Work that only waits for somebody else is a :class:`Pending` and needs none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from outrider.errors import ConnectionLostError, Refusal, RequestTimeoutError
from outrider.exchange.pending import Pending
from outrider.printable import counted
from outrider.protocol import faults
from outrider.relay.deadlines import Deadlines
from outrider.relay.quotas import BY_SETTINGS, Quota, Quotas
from outrider.settings import Limits, Live
from outrider.status import Status

T = TypeVar("T")

TOO_LATE = "requests_answered_too_late"
"""Counts answers that nobody waited for any more."""


class TooManyRequests(Refusal):
    """A caller is over its quota; the text names the setting."""


Work = Callable[[], Pending[T] | Coroutine[Any, Any, T]]


class Ticket(Pending[T]):
    """One request: its answer, which is pending, its number, whose it is; once it runs, ``task`` or ``elsewhere``."""

    __slots__ = ("caller", "elsewhere", "holds_place", "id", "seconds", "size", "task", "work")

    def __init__(
        self, queue: RequestQueue[T], id_: int, caller: str, work: Work[T], *, seconds: float, size: int
    ) -> None:
        super().__init__(partial(queue.abandoned, self))
        self.id = id_
        self.caller = caller
        self.work = work
        self.seconds = seconds
        self.size = size
        self.task: asyncio.Task[None] | None = None
        self.elsewhere: Pending[T] | None = None
        self.holds_place = False


@dataclass(eq=False, slots=True)
class _Caller(Generic[T]):
    """What one caller has here. ``in_line`` while it waits for its turn."""

    waiting: dict[Ticket[T], None] = field(default_factory=dict)
    running: dict[Ticket[T], None] = field(default_factory=dict)
    in_line: bool = False
    size: int = 0


class RequestQueue(Generic[T]):
    """See the module. Used from one event loop, whose clock is the deadlines'."""

    def __init__(self, live: Live, status: Status, quotas: Quotas = BY_SETTINGS) -> None:
        self._live = live
        self._status = status
        self._quotas = quotas
        self._callers: dict[str, _Caller[T]] = {}
        self._line: deque[str] = deque()
        self._running = 0
        self._starting = False
        self._ids = count(1)
        self._deadlines: Deadlines[Ticket[T]] = Deadlines(self._too_late)
        status.gauge("requests_running", lambda: self._running)
        status.gauge("requests_waiting", lambda: len(self) - self._running)
        live.when_changed(self._look_again)

    def __len__(self) -> int:
        """Requests that wait or run."""
        return sum(len(caller.waiting) + len(caller.running) for caller in self._callers.values())

    def submit(self, caller: str, work: Work[T], *, seconds: float, size: int = 0) -> Ticket[T]:
        """Take a request of ``size`` bytes that is to be answered within ``seconds``; who gives it up ends the work.

        :class:`TooManyRequests` names the quota that the caller is over. The ticket fails with
        :class:`RequestTimeoutError` at the deadline and with :class:`ConnectionLostError` when the caller leaves.
        """
        record = self._callers.get(caller) or _Caller()
        quota = self._quotas.of_one(self._limits, caller)
        self._check_quota(record, quota, size)
        self._callers[caller] = record
        ticket = Ticket(self, next(self._ids), caller, work, seconds=seconds, size=size)
        self._deadlines.set(ticket, seconds)
        record.size += size
        record.waiting[ticket] = None
        self._stand_in_line(caller, record)
        self._start()
        if ticket in record.waiting:
            full = len(record.running) >= quota.running
            self._count("limits.requests_running_per_peer" if full else self._quotas.running_setting)
        return ticket

    def abandoned(self, ticket: Ticket[T]) -> None:
        """Nobody waits for it any more: it leaves the line, or its work is cancelled and its place goes to another."""
        self._deadlines.clear(ticket)
        if ticket.task is not None:
            ticket.task.cancel()
            self._give_place_back(ticket)
            self._start()
        elif ticket.elsewhere is not None:
            ticket.elsewhere.give_up()
            self._ended(ticket)
            self._start()
        else:
            record = self._callers[ticket.caller]
            del record.waiting[ticket]
            self._forget(ticket, record)

    def drop(self, caller: str) -> None:
        """A caller is gone: none of its requests is worth an answer."""
        record = self._callers.get(caller)
        for ticket in (*record.waiting, *record.running) if record else ():
            if ticket.is_open:
                self._fail(ticket, ConnectionLostError(f"{caller}, who asked, is gone"))
            elif ticket.task is not None:
                ticket.task.cancel()  # it has not heeded the first time

    async def close(self) -> None:
        """Drop every caller; cancelled work has had its chance to clean up when this returns."""
        tasks = [ticket.task for record in self._callers.values() for ticket in record.running if ticket.task]
        for caller in list(self._callers):
            self.drop(caller)
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    @property
    def _limits(self) -> Limits:
        return self._live.now.limits

    def _look_again(self) -> None:
        """The limits are others: there may be room for those who wait."""
        for name, record in list(self._callers.items()):
            self._stand_in_line(name, record)
        self._start()

    def _check_quota(self, record: _Caller[T], quota: Quota, size: int) -> None:
        if size > (most := self._limits.request_bytes):
            raise self._over("request_bytes", most, f"a request of {size} bytes is too large")
        if record.size + size > quota.size:
            raise self._over(
                "requests_bytes_per_peer", quota.size, f"{record.size} bytes of your requests are here already"
            )
        if len(record.waiting) >= quota.waiting:
            raise self._over(
                "requests_waiting_per_peer",
                quota.waiting,
                f"{counted(len(record.waiting), 'request')} of yours waiting already",
            )

    def _over(self, limit: str, most: int, what: str) -> TooManyRequests:
        self._count(f"limits.{limit}")
        return TooManyRequests(faults.INTERNAL, f"{what}: the limit is {most} (limits.{limit}); try again later")

    def _count(self, setting: str) -> None:
        if setting:
            self._status.limit_hit(setting)

    def _stand_in_line(self, name: str, record: _Caller[T]) -> None:
        may = record.waiting and len(record.running) < self._quotas.of_one(self._limits, name).running
        if may and not record.in_line:
            record.in_line = True
            self._line.append(name)

    def _start(self) -> None:
        """Start what may run, one request of each caller in turn."""
        if self._starting:  # work that ends at once comes back here
            return
        self._starting = True
        try:
            while self._line and self._running < self._quotas.running(self._limits):
                self._next_of(self._line.popleft())
        finally:
            self._starting = False

    def _next_of(self, name: str) -> None:
        record = self._callers[name]
        record.in_line = False
        if not record.waiting:
            self._tidy(name, record)
            return
        ticket = next(iter(record.waiting))
        del record.waiting[ticket]
        record.running[ticket] = None
        ticket.holds_place = True
        self._running += 1
        self._stand_in_line(name, record)
        self._begin(ticket)

    def _begin(self, ticket: Ticket[T]) -> None:
        try:
            work = ticket.work()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the answer)
            work = Pending.now(error)
        if isinstance(work, Pending):
            ticket.elsewhere = work
            work.then(partial(self._told, ticket))
        else:
            ticket.task = asyncio.create_task(self._serve(ticket, work), name=f"request {ticket.id} of {ticket.caller}")
            ticket.task.add_done_callback(partial(self._task_ended, ticket, work))

    def _told(self, ticket: Ticket[T], outcome: T | Exception) -> None:
        self._ended(ticket)
        ticket.settle(outcome)
        self._start()

    async def _serve(self, ticket: Ticket[T], work: Coroutine[Any, Any, T]) -> None:
        try:
            answer = await work
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the answer)
            ticket.settle(error)
        else:
            if not ticket.is_open:
                self._status.count(TOO_LATE)
            ticket.settle(answer)

    def _task_ended(self, ticket: Ticket[T], work: Coroutine[Any, Any, T], _: asyncio.Task[None]) -> None:
        work.close()  # where it was cancelled before it began
        self._ended(ticket)
        ticket.settle(ConnectionLostError("the work was cancelled before it had an answer"))
        self._start()

    def _too_late(self, ticket: Ticket[T]) -> None:
        self._fail(ticket, RequestTimeoutError(f"no answer within {ticket.seconds:g} s"))

    def _fail(self, ticket: Ticket[T], error: Exception) -> None:
        self.abandoned(ticket)
        ticket.settle(error)

    def _ended(self, ticket: Ticket[T]) -> None:
        self._deadlines.clear(ticket)
        record = self._callers[ticket.caller]
        del record.running[ticket]
        self._give_place_back(ticket)
        self._forget(ticket, record)

    def _give_place_back(self, ticket: Ticket[T]) -> None:
        self._running -= ticket.holds_place
        ticket.holds_place = False

    def _forget(self, ticket: Ticket[T], record: _Caller[T]) -> None:
        record.size -= ticket.size
        self._stand_in_line(ticket.caller, record)
        self._tidy(ticket.caller, record)

    def _tidy(self, name: str, record: _Caller[T]) -> None:
        if not (record.waiting or record.running or record.in_line):
            del self._callers[name]
