"""Requests that run at the same time, bounded and fair (threats 21 to 23).

Each caller, a peer or a local client, has a quota of running and of waiting requests. Callers take turns: one
that asks a thousand times waits for itself. A request has a deadline that counts from its arrival; when that
passes, or its caller leaves, it is answered at once and its work is cancelled. Work that does not heed this
keeps its place in its caller's quota, and what it still says is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Generic, TypeVar

from outrider.errors import ConnectionLostError, Refusal, RequestTimeoutError
from outrider.protocol import faults
from outrider.settings import Settings
from outrider.status import Status

T = TypeVar("T")

TOO_LATE = "requests_answered_too_late"
"""Counts answers that nobody waited for any more."""


class TooManyRequests(Refusal):
    """A caller is over its quota; the text names the setting."""


@dataclass(eq=False, slots=True)
class Ticket(Generic[T]):
    """One request: its number, whose it is, and ``answer``, which is settled exactly once."""

    id: int
    caller: str
    size: int
    work: Callable[[], Awaitable[T]]
    answer: asyncio.Future[T]
    deadline: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    holds_place: bool = False

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless it is answered; whoever does not listen need not."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()


@dataclass(eq=False, slots=True)
class _Caller(Generic[T]):
    """What one caller has here. ``in_line`` while it waits for its turn."""

    waiting: dict[Ticket[T], None] = field(default_factory=dict)
    running: dict[Ticket[T], None] = field(default_factory=dict)
    in_line: bool = False
    size: int = 0


class RequestQueue(Generic[T]):
    """See the module. Used from one event loop, whose clock is the deadlines'."""

    def __init__(self, settings: Settings, status: Status) -> None:
        self._limits = settings.limits
        self._status = status
        self._callers: dict[str, _Caller[T]] = {}
        self._line: deque[str] = deque()
        self._running = 0
        self._ids = count(1)

    def __len__(self) -> int:
        """Requests that wait or run."""
        return sum(len(caller.waiting) + len(caller.running) for caller in self._callers.values())

    def submit(self, caller: str, work: Callable[[], Awaitable[T]], *, seconds: float, size: int = 0) -> Ticket[T]:
        """Take a request of ``size`` bytes that is to be answered within ``seconds``.

        :class:`TooManyRequests` names the quota that the caller is over. The ticket's answer fails with
        :class:`RequestTimeoutError` at the deadline and with :class:`ConnectionLostError` when the caller leaves.
        """
        record = self._callers.get(caller) or _Caller()
        self._check_quota(record, size)
        self._callers[caller] = record
        loop = asyncio.get_running_loop()
        ticket = Ticket(next(self._ids), caller, size, work, loop.create_future())
        ticket.deadline = loop.call_later(seconds, self._too_late, ticket, seconds)
        record.size += size
        record.waiting[ticket] = None
        self._stand_in_line(caller, record)
        self._start()
        if ticket in record.waiting:
            full = len(record.running) >= self._limits.requests_running_per_peer
            self._status.limit_hit(f"limits.requests_running{'_per_peer' if full else ''}")
        return ticket

    async def run(self, caller: str, work: Callable[[], Awaitable[T]], *, seconds: float, size: int = 0) -> T:
        """Submit and wait; whoever stops waiting has given up, and the work is cancelled."""
        ticket = self.submit(caller, work, seconds=seconds, size=size)
        try:
            return await ticket.answer
        finally:
            self.cancel(ticket)

    def cancel(self, ticket: Ticket[T]) -> None:
        """Its caller has given up; nothing happens if it is answered."""
        if not ticket.answer.done():
            ticket.answer.cancel()
        self._abandon(ticket)

    def drop(self, caller: str) -> None:
        """A caller is gone: none of its requests is worth an answer."""
        record = self._callers.get(caller)
        for ticket in (*record.waiting, *record.running) if record else ():
            ticket.fail(ConnectionLostError(f"{caller}, who asked, is gone"))
            self._abandon(ticket)

    async def close(self) -> None:
        """Drop every caller; cancelled work has had its chance to clean up when this returns."""
        tasks = [ticket.task for record in self._callers.values() for ticket in record.running if ticket.task]
        for caller in list(self._callers):
            self.drop(caller)
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    def _check_quota(self, record: _Caller[T], size: int) -> None:
        limits = self._limits
        if size > limits.request_bytes:
            raise self._over("request_bytes", f"a request of {size} bytes is too large")
        if record.size + size > limits.requests_bytes_per_peer:
            raise self._over("requests_bytes_per_peer", f"{record.size} bytes of your requests are here already")
        if len(record.waiting) >= limits.requests_waiting_per_peer:
            raise self._over("requests_waiting_per_peer", f"{len(record.waiting)} of your requests wait already")

    def _over(self, limit: str, what: str) -> TooManyRequests:
        self._status.limit_hit(f"limits.{limit}")
        most = getattr(self._limits, limit)
        return TooManyRequests(faults.INTERNAL, f"{what}: the limit is {most} (limits.{limit}); try again later")

    def _stand_in_line(self, name: str, record: _Caller[T]) -> None:
        may = record.waiting and len(record.running) < self._limits.requests_running_per_peer
        if may and not record.in_line:
            record.in_line = True
            self._line.append(name)

    def _start(self) -> None:
        """Start what may run, one request of each caller in turn."""
        while self._line and self._running < self._limits.requests_running:
            name = self._line.popleft()
            record = self._callers[name]
            record.in_line = False
            if not record.waiting:
                self._tidy(name, record)
                continue
            ticket = next(iter(record.waiting))
            del record.waiting[ticket]
            record.running[ticket] = None
            ticket.holds_place = True
            self._running += 1
            ticket.task = asyncio.create_task(self._serve(ticket), name=f"request {ticket.id} of {name}")
            ticket.task.add_done_callback(partial(self._ended, ticket))
            self._stand_in_line(name, record)

    async def _serve(self, ticket: Ticket[T]) -> None:
        try:
            answer = await ticket.work()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the answer)
            ticket.fail(error)
        else:
            if ticket.answer.done():
                self._status.count(TOO_LATE)
            else:
                ticket.answer.set_result(answer)

    def _too_late(self, ticket: Ticket[T], seconds: float) -> None:
        ticket.fail(RequestTimeoutError(f"no answer within {seconds:g} s"))
        self._abandon(ticket)

    def _abandon(self, ticket: Ticket[T]) -> None:
        """Nobody waits for it any more: it leaves the line, or its work is cancelled and its place goes to another."""
        if ticket.deadline is not None:
            ticket.deadline.cancel()
            ticket.deadline = None
        record = self._callers.get(ticket.caller)
        if ticket.task is None:
            if record is not None and ticket in record.waiting:
                del record.waiting[ticket]
                self._forget(ticket, record)
        else:
            ticket.task.cancel()
            self._give_place_back(ticket)
            self._start()

    def _ended(self, ticket: Ticket[T], _: asyncio.Task[None]) -> None:
        if ticket.deadline is not None:
            ticket.deadline.cancel()
        ticket.fail(ConnectionLostError("the work was cancelled before it had an answer"))
        record = self._callers[ticket.caller]
        del record.running[ticket]
        self._give_place_back(ticket)
        self._forget(ticket, record)
        self._start()

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
