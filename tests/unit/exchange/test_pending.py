"""What is still to come: told once, at once, or given up."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.loop import run

from outrider.errors import RequestTimeoutError
from outrider.exchange.pending import Pending


def test_an_outcome_is_told_within_the_call_and_once() -> None:
    heard: list[int | Exception] = []
    pending: Pending[int] = Pending()
    pending.then(heard.append)
    assert pending.is_open
    pending.settle(1)
    assert heard == [1]
    pending.settle(2)
    pending.give_up()
    assert (heard, pending.settled, pending.given_up) == ([1], True, False)
    Pending.now(3).then(heard.append)
    assert heard == [1, 3]


def test_what_is_given_up_ends_its_work_once_and_tells_nobody() -> None:
    ended: list[str] = []
    pending: Pending[int] = Pending(lambda: ended.append("work"))
    pending.then(lambda _: ended.append("told"))
    pending.give_up()
    pending.give_up()
    pending.settle(1)
    assert (ended, pending.is_open) == (["work"], False)


def test_an_error_has_a_value_in_its_place_and_giving_up_reaches_the_work() -> None:
    ended: list[str] = []
    failing: Pending[str] = Pending(lambda: ended.append("work"))
    heard: list[str | Exception] = []
    failing.otherwise(str).then(heard.append)
    failing.settle(RequestTimeoutError("late"))
    assert heard == ["late"]
    good: Pending[str] = Pending.now("good")
    good.otherwise(str).then(heard.append)
    assert heard == ["late", "good"]
    for other in (Pending[str].otherwise, Pending[str].made):
        other(Pending(lambda: ended.append("work")), str).give_up()
    assert ended == ["work", "work"]


def test_a_value_is_made_into_another_and_an_error_stays_one() -> None:
    heard: list[int | Exception] = []
    Pending.now("four").made(len).then(heard.append)
    error = RequestTimeoutError("late")
    Pending[str].now(error).made(len).then(heard.append)
    assert heard == [4, error]


def test_who_waits_has_the_outcome_and_who_stops_waiting_has_given_up() -> None:
    async def story() -> None:
        ended: list[str] = []
        pending: Pending[int] = Pending(lambda: ended.append("work"))
        asyncio.get_running_loop().call_later(5, pending.settle, 7)
        assert await pending == 7
        assert await pending == 7
        assert asyncio.get_running_loop().time() == 5
        with pytest.raises(RequestTimeoutError):
            await Pending[int].now(RequestTimeoutError("late"))
        left: Pending[int] = Pending(lambda: ended.append("left"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await left
        assert (ended, left.given_up) == (["left"], True)

    run(story())


def test_work_of_its_own_runs_in_a_task_that_ends_with_it() -> None:
    async def story() -> None:
        ended: list[str] = []

        async def work(seconds: float) -> str:
            try:
                await asyncio.sleep(seconds)
            finally:
                ended.append(f"{seconds}")
            if seconds == 2:
                raise RequestTimeoutError("late")
            return "done"

        assert await Pending.of(work(1)) == "done"
        with pytest.raises(RequestTimeoutError):
            await Pending.of(work(2))
        pending = Pending.of(work(3))
        await asyncio.sleep(1)
        pending.give_up()
        await asyncio.sleep(0)
        assert ended == ["1", "2", "3"]
        assert asyncio.get_running_loop().time() == 4

    run(story())
