"""The queue of requests under any story: quotas hold, nothing is lost or answered twice, turns are kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.loop import run
from tests.support.relay import settings_of

from outrider.errors import ConnectionLostError, RequestTimeoutError
from outrider.relay.queue import RequestQueue, Ticket, TooManyRequests
from outrider.settings import Live
from outrider.status import Status

RUNNING, EACH, WAITING = 3, 2, 4
CALLERS = st.sampled_from("abc")
STEPS = st.lists(
    st.tuples(st.just("submit"), CALLERS, st.integers(0, 9), st.booleans())
    | st.tuples(st.just("drop"), CALLERS)
    | st.tuples(st.just("cancel"), st.integers(0, 30))
    | st.tuples(st.just("pass"), st.integers(0, 6)),
    max_size=40,
)


class Story:
    """Plays steps and watches what runs."""

    def __init__(self) -> None:
        limits: dict[str, Any] = {
            "requests_running": RUNNING,
            "requests_running_per_peer": EACH,
            "requests_waiting_per_peer": WAITING,
        }
        self.queue: RequestQueue[int] = RequestQueue(Live(settings_of(**limits)), Status())
        self.tickets: list[Ticket[int]] = []
        self.answers: list[tuple[int, int | Exception]] = []
        self.starts: Counter[int] = Counter()
        self.running: Counter[str] = Counter()
        self.refused = 0

    def work(self, number: int, caller: str, seconds: int, *, stubborn: bool) -> Callable[[], Coroutine[Any, Any, int]]:
        async def one() -> int:
            self.starts[number] += 1
            self.running[caller] += 1
            assert self.running[caller] <= EACH
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                if not stubborn:
                    raise
                await asyncio.sleep(seconds)
            finally:
                self.running[caller] -= 1
            return number

        return one

    def submit(self, caller: str, seconds: int, *, stubborn: bool) -> None:
        number = len(self.tickets)
        waiting = sum(t.caller == caller and t.task is None and t.is_open for t in self.tickets)
        try:
            work = self.work(number, caller, seconds, stubborn=stubborn)
            ticket = self.queue.submit(caller, work, seconds=5)
        except TooManyRequests:
            assert waiting >= WAITING
            self.refused += 1
            return
        ticket.then(lambda outcome: self.answers.append((number, outcome)))
        self.tickets.append(ticket)

    async def play(self, steps: list[tuple[Any, ...]]) -> None:
        for step, *arguments in steps:
            if step == "submit":
                self.submit(arguments[0], arguments[1], stubborn=arguments[2])
            elif step == "drop":
                self.queue.drop(arguments[0])
            elif step == "cancel" and arguments[0] < len(self.tickets):
                self.tickets[arguments[0]].give_up()
            elif step == "pass":
                await asyncio.sleep(arguments[0] + 0.5)
            assert sum(ticket.holds_place for ticket in self.tickets) <= RUNNING
        await asyncio.sleep(60)


@settings(max_examples=150)
@given(STEPS)
def test_threat_23_quotas_hold_and_every_request_is_answered_once(steps: list[tuple[Any, ...]]) -> None:
    async def story() -> None:
        told = Story()
        await told.play(steps)
        assert len(told.queue) == 0
        assert told.running.total() == 0
        assert max(told.starts.values(), default=0) <= 1
        wanted = [number for number, ticket in enumerate(told.tickets) if not ticket.given_up]
        assert sorted(number for number, _ in told.answers) == wanted
        for number, outcome in told.answers:
            assert isinstance(outcome, RequestTimeoutError | ConnectionLostError) or outcome == number

    run(story())


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(1, 4), min_size=1, max_size=8))
def test_threat_21_callers_take_turns(loads: dict[str, int]) -> None:
    """With one place, everybody's first request starts before anybody's third."""

    async def story() -> list[str]:
        queue: RequestQueue[None] = RequestQueue(
            Live(settings_of(requests_running=1, requests_running_per_peer=1)), Status()
        )
        order: list[str] = []

        def work(caller: str) -> Callable[[], Coroutine[Any, Any, None]]:
            async def one() -> None:
                order.append(caller)
                await asyncio.sleep(1)

            return one

        tickets = [queue.submit(caller, work(caller), seconds=99) for caller, n in loads.items() for _ in range(n)]
        await asyncio.gather(*tickets)
        return order

    order = run(story())
    assert Counter(order) == Counter(loads)
    for place, caller in enumerate(order):
        before = Counter(order[:place])
        behind = [other for other, load in loads.items() if before[other] < load and other != caller]
        assert all(before[caller] - before[other] <= 1 for other in behind)
