"""What may run and wait: of a caller as set, of one who passes on others' requests, and of those that share places."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.loop import run
from tests.support.relay import settings_of

from outrider.exchange.pending import Pending
from outrider.relay.queue import RequestQueue
from outrider.relay.quotas import BY_SETTINGS, Quota, Quotas, as_set, at_once, of_many, passed_on_by, towards_one_node
from outrider.settings import Limits, Live
from outrider.status import Status

MIB = 1024 * 1024


def limits(**changes: Any) -> Limits:
    return settings_of(**changes).limits


def test_a_caller_has_what_the_settings_say() -> None:
    assert as_set(limits()) == Quota(64, 1024, 16 * MIB)
    assert BY_SETTINGS.running(limits()) == 256
    assert BY_SETTINGS.of_one(limits(requests_running_per_peer=5), "a").running == 5


def test_who_passes_on_what_others_ask_counts_as_many_and_leaves_a_quarter() -> None:
    assert of_many(limits()) == Quota(192, 3 * 1024, 48 * MIB)
    assert of_many(limits(requests_running=64)) == as_set(limits())  # there is room for one only
    quotas = passed_on_by("master")
    assert (quotas.of_one(limits(), "master"), quotas.of_one(limits(), "local client 5")) == (
        of_many(limits()),
        as_set(limits()),
    )


@pytest.mark.parametrize(("places", "of_one"), [(64, 48), (4, 3), (1, 1)])
def test_of_places_that_all_share_one_caller_takes_three_quarters(places: int, of_one: int) -> None:
    shared = limits(requests_running_per_peer=places)
    for quotas in (towards_one_node(), at_once(places)):
        assert quotas.running(shared) == places
        assert quotas.of_one(shared, "a") == as_set(shared)._replace(running=of_one)


@pytest.mark.parametrize(
    ("quotas", "flood", "counted"),
    [
        (towards_one_node(), 3, {"limits.requests_running_per_peer": 5}),
        (at_once(2), 1, {"limits.requests_running_per_peer": 7}),
    ],
)
def test_threat_23_who_floods_leaves_a_place_and_others_take_turns(
    quotas: Quotas, flood: int, counted: dict[str, int]
) -> None:
    async def story() -> None:
        status = Status()
        queue: RequestQueue[str] = RequestQueue(Live(settings_of(requests_running_per_peer=4)), status, quotas)
        begun: list[str] = []

        def ask(caller: str) -> Pending[str]:
            def work() -> Pending[str]:
                begun.append(caller)
                return Pending()

            return queue.submit(caller, work, seconds=60)

        flooding = [ask("flood") for _ in range(8)]
        assert begun == ["flood"] * flood
        assert status.snapshot().limits_hit == counted
        ask("other")
        assert begun == [*["flood"] * flood, "other"]
        flooding[0].give_up()
        ask("third")
        assert begun[flood + 1 :] == ["flood"]  # it was in line before
        flooding[1].give_up()
        assert begun[flood + 1 :] == ["flood", "third"]
        await asyncio.sleep(61)
        assert len(queue) == 0

    run(story())


def test_where_no_setting_bounds_all_none_is_counted() -> None:
    async def story() -> None:
        status = Status()
        queue: RequestQueue[str] = RequestQueue(Live(settings_of()), status, at_once(1))
        for caller in ("a", "b"):
            queue.submit(caller, Pending, seconds=60)
        assert status.snapshot().limits_hit == {}
        await asyncio.sleep(61)

    run(story())
