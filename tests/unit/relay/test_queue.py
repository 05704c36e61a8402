"""The queue: quotas, turns, deadlines, cancellation; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from tests.support.loop import run
from tests.support.relay import settings_of

from outrider.errors import ConnectionLostError, RequestTimeoutError
from outrider.exchange.pending import Pending
from outrider.relay.queue import TOO_LATE, RequestQueue, TooManyRequests
from outrider.settings import Live
from outrider.status import Status

Work = Callable[[], Coroutine[Any, Any, Any]]


class Bench:
    """A queue and what was done in it, in order."""

    def __init__(self, **limits: Any) -> None:
        self.status = Status()
        self.queue: RequestQueue[Any] = RequestQueue(Live(settings_of(**limits)), self.status)
        self.done: list[str] = []
        self.cancelled: list[str] = []

    async def left(self) -> int:
        """Requests in the queue once what ended is gone."""
        await asyncio.sleep(0.001)
        return len(self.queue)

    def work(self, name: str, seconds: float = 1, *, stubborn: bool = False) -> Work:
        async def one() -> str:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                if not stubborn:
                    raise
                await asyncio.sleep(seconds)
            self.done.append(name)
            return name

        return one


def test_threat_21_nobody_waits_for_a_request_that_takes_200_s() -> None:
    async def story() -> tuple[list[str], float]:
        bench = Bench()
        callers = [f"caller{number % 50}" for number in range(1000)]
        slow = asyncio.ensure_future(bench.queue.submit("caller0", bench.work("slow", 199.5), seconds=200))
        await asyncio.sleep(0)
        quick = [bench.queue.submit(caller, bench.work(f"q{n}", 0.1), seconds=200) for n, caller in enumerate(callers)]
        answers = await asyncio.gather(*quick)
        after = asyncio.get_running_loop().time()
        assert answers == [f"q{number}" for number in range(1000)]
        assert await slow == "slow"
        assert await bench.left() == 0
        return bench.done, after

    done, after = run(story())
    assert done[-1] == "slow"
    assert len(done) == 1001
    assert after == pytest.approx(0.1 * 4)  # four rounds of 256, as if the slow one were not there


def test_threat_23_who_floods_waits_for_itself() -> None:
    async def story() -> list[str]:
        bench = Bench(requests_running=2, requests_running_per_peer=2)
        flood = [bench.queue.submit("flood", bench.work(f"f{number}"), seconds=999) for number in range(20)]
        polite = [bench.queue.submit(name, bench.work(name), seconds=999) for name in ("a", "b", "c")]
        await asyncio.gather(*flood, *polite)
        return bench.done

    done = run(story())
    assert done == ["f0", "f1", "a", "b", "c", *(f"f{number}" for number in range(2, 20))]


def test_a_caller_s_own_quota_leaves_places_for_others() -> None:
    async def story() -> list[str]:
        bench = Bench(requests_running=3, requests_running_per_peer=2)
        flood = [bench.queue.submit("flood", bench.work(f"f{number}"), seconds=999) for number in range(6)]
        late = bench.queue.submit("a", bench.work("a", 0.5), seconds=999)
        await asyncio.gather(*flood, late)
        return bench.done

    assert run(story())[0] == "a"


@pytest.mark.parametrize(
    ("limits", "size", "name", "taken"),
    [
        ({"requests_waiting_per_peer": 3, "requests_running_per_peer": 2}, 0, "requests_waiting_per_peer", 5),
        ({"requests_bytes_per_peer": 5000, "request_bytes": 2000}, 2000, "requests_bytes_per_peer", 2),
        ({"request_bytes": 1024}, 1025, "request_bytes", 0),
    ],
)
def test_threat_23_over_a_quota_only_that_caller_gets_an_error_which_names_the_setting(
    limits: dict[str, Any], size: int, name: str, taken: int
) -> None:
    async def story() -> None:
        bench = Bench(**limits)
        tickets = [bench.queue.submit("a", bench.work(str(n)), seconds=9, size=size) for n in range(taken)]
        with pytest.raises(TooManyRequests, match=f"limits.{name}"):
            bench.queue.submit("a", bench.work("x"), seconds=9, size=size)
        assert bench.status.snapshot().limits_hit[f"limits.{name}"] == 1
        other = bench.queue.submit("b", bench.work("b"), seconds=9)
        assert await other == "b"
        await asyncio.gather(*tickets)
        assert await bench.left() == 0
        again = bench.queue.submit("a", bench.work("again"), seconds=9, size=min(size, 1024))
        assert await again == "again"

    run(story())


def test_threat_22_at_its_deadline_a_request_is_answered_and_its_work_cancelled() -> None:
    async def story() -> None:
        bench = Bench()
        with pytest.raises(RequestTimeoutError, match="within 5 s"):
            await bench.queue.submit("a", bench.work("slow", 100), seconds=5)
        assert asyncio.get_running_loop().time() == 5
        assert await bench.left() == 0
        assert bench.cancelled == ["slow"]

    run(story())


def test_a_request_that_never_had_its_turn_has_a_deadline_as_well() -> None:
    async def story() -> None:
        bench = Bench(requests_running=1, requests_running_per_peer=1)
        first = bench.queue.submit("a", bench.work("first", 10), seconds=99)
        with pytest.raises(RequestTimeoutError):
            await bench.queue.submit("b", bench.work("second"), seconds=5)
        assert await first == "first"
        assert bench.done == ["first"]
        assert await bench.left() == 0

    run(story())


def test_threat_22_work_that_does_not_heed_keeps_its_caller_s_place_alone_and_its_answer_is_dropped() -> None:
    async def story() -> None:
        bench = Bench(requests_running=1, requests_running_per_peer=1)
        with pytest.raises(RequestTimeoutError):
            await bench.queue.submit("a", bench.work("stubborn", 50, stubborn=True), seconds=5)
        own = bench.queue.submit("a", bench.work("own"), seconds=99)
        assert await bench.queue.submit("b", bench.work("b"), seconds=99) == "b"
        assert not own.settled
        assert await own == "own"
        assert bench.done == ["b", "stubborn", "own"]
        assert bench.status.snapshot().counters == {TOO_LATE: 1}

    run(story())


def test_threat_22_when_a_caller_is_lost_all_its_requests_end_and_others_go_on() -> None:
    async def story() -> None:
        bench = Bench(requests_running=2, requests_running_per_peer=1)
        lost = [bench.queue.submit("a", bench.work(f"a{number}", 50), seconds=99) for number in range(3)]
        other = bench.queue.submit("b", bench.work("b", 2), seconds=99)
        await asyncio.sleep(1)
        bench.queue.drop("a")
        bench.queue.drop("nobody")
        for ticket in lost:
            with pytest.raises(ConnectionLostError, match="a, who asked, is gone"):
                await ticket
        assert await other == "b"
        assert (bench.done, bench.cancelled, await bench.left()) == (["b"], ["a0"], 0)

    run(story())


def test_threat_22_who_stops_waiting_has_given_up() -> None:
    async def story() -> None:
        bench = Bench()
        waiting = asyncio.ensure_future(bench.queue.submit("a", bench.work("slow", 50), seconds=99))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await bench.left(), bench.cancelled) == (0, ["slow"])

    run(story())


def test_what_work_raises_is_its_answer() -> None:
    async def story() -> None:
        bench = Bench()

        async def wrong() -> None:
            raise KeyError("x")

        async def confused() -> None:
            raise asyncio.CancelledError

        with pytest.raises(KeyError):
            await bench.queue.submit("a", wrong, seconds=9)
        with pytest.raises(ConnectionLostError, match="cancelled before"):
            await bench.queue.submit("a", confused, seconds=9)
        assert await bench.left() == 0

    run(story())


def test_closing_ends_everything() -> None:
    async def story() -> None:
        bench = Bench(requests_running=1, requests_running_per_peer=1)
        tickets = [bench.queue.submit(name, bench.work(name, 50), seconds=99) for name in "ab"]
        await asyncio.sleep(1)
        await bench.queue.close()
        assert bench.cancelled == ["a"]
        for ticket in tickets:
            with pytest.raises(ConnectionLostError):
                await ticket
        assert await bench.left() == 0
        assert tickets[0].id != tickets[1].id

    run(story())


def elsewhere(work: Pending[Any]) -> Callable[[], Pending[Any]]:
    return lambda: work


def test_work_that_waits_for_somebody_else_needs_no_task_and_is_told_at_once() -> None:
    async def story() -> None:
        bench = Bench(requests_running=1, requests_running_per_peer=1)
        works: list[Pending[str]] = [Pending() for _ in range(3)]
        heard: list[str | Exception] = []
        for work, seconds in zip(works, (9, 5, 4), strict=True):
            bench.queue.submit("a", elsewhere(work), seconds=seconds).then(heard.append)
        assert len(asyncio.all_tasks()) == 1
        works[0].settle("one")
        assert heard == ["one"]
        await asyncio.sleep(5)
        assert [str(one) for one in heard[1:]] == ["no answer within 4 s", "no answer within 5 s"]
        assert (works[1].given_up, works[2].is_open, len(bench.queue)) == (True, True, 0)  # the last never began

    run(story())


def test_a_long_line_whose_work_all_fails_at_once_is_no_deep_recursion() -> None:
    async def story() -> None:
        bench = Bench(requests_running=1, requests_running_per_peer=1, requests_waiting_per_peer=5000)
        first: Pending[str] = Pending()
        heard: list[str | Exception] = []
        bench.queue.submit("a", lambda: first, seconds=5).then(heard.append)
        for _ in range(5000):
            work = partial(Pending[str].now, ConnectionLostError("gone"))
            bench.queue.submit("a", work, seconds=5).then(heard.append)
        first.settle("first")
        assert heard[0] == "first"
        assert len(heard) == 5001
        assert len(bench.queue) == 0

    run(story())


def test_work_that_is_cancelled_before_it_began_never_begins() -> None:
    async def story() -> None:
        bench = Bench()
        ticket = bench.queue.submit("a", bench.work("never"), seconds=5)
        ticket.give_up()
        assert await bench.left() == 0
        assert (bench.done, bench.cancelled) == ([], [])

    run(story())
