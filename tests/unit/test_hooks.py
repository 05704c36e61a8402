"""Hooks hear their events in order, and whatever they do ends with themselves."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.errors import StoreError
from outrider.hooks import GenerationEvent, Hooks, NodeEvents, RequestEvent
from outrider.settings import Live, Settings
from outrider.status import Status
from outrider.world import ThreadPool


class Stage:
    """The events of a node with these hooks, where up to ``most`` items may wait for each."""

    def __init__(self, most: int = 100, *, pool: ThreadPool | None = None, **hooks: Callable[[Any], object]) -> None:
        self.status = Status()
        settings = Settings.from_mapping({"limits.hook_items": most})
        ports = simulated_ports(Fabric(Random(1)), "10.0.0.1")
        if pool is not None:
            ports = replace(ports, threads=pool)
        self.events = NodeEvents(Hooks(**hooks), Live(settings), ports, self.status)

    def take(self, *numbers: int) -> None:
        for number in numbers:
            self.events.stands(GenerationEvent(number=number))

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.status.snapshot().counters)


def numbers_of(heard: list[GenerationEvent]) -> list[int]:
    return [event.number for event in heard]


def test_an_asynchronous_hook_hears_everything_in_order_one_at_a_time() -> None:
    heard: list[GenerationEvent] = []

    async def hook(event: GenerationEvent) -> None:
        await asyncio.sleep(10 - event.number)  # what came later would overtake, if it could
        heard.append(event)

    async def story() -> None:
        stage = Stage(on_generation=hook)
        async with stage.events:
            stage.take(1, 2, 3)
            await asyncio.sleep(30)
            assert numbers_of(heard) == [1, 2, 3]

    run(story())


def test_a_plain_hook_runs_in_a_thread_and_what_it_gives_to_wait_for_on_the_loop() -> None:
    heard: list[tuple[int, str, bool]] = []

    def note(event: GenerationEvent, where: str) -> None:
        heard.append((event.number, where, threading.current_thread() is threading.main_thread()))

    async def later(event: GenerationEvent) -> None:
        note(event, "later")

    def hook(event: GenerationEvent) -> object:
        note(event, "at once")
        return later(event)

    async def story() -> None:
        pool = ThreadPool(1)
        stage = Stage(pool=pool, on_generation=hook)
        async with stage.events:
            stage.take(1, 2)
        await pool.close()

    asyncio.run(story())
    assert heard == [(1, "at once", False), (1, "later", True), (2, "at once", False), (2, "later", True)]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()])
@pytest.mark.parametrize("plain", [True, False])
def test_a_hook_that_raises_is_named_and_counted_and_hears_the_next(
    caplog: pytest.LogCaptureFixture, error: BaseException, plain: bool
) -> None:
    heard: list[int] = []

    def fails(event: GenerationEvent) -> None:
        heard.append(event.number)
        raise error

    async def fails_later(event: GenerationEvent) -> None:
        fails(event)

    async def story() -> None:
        stage = Stage(on_generation=fails if plain else fails_later)
        async with stage.events:
            stage.take(1, 2)
        assert stage.counters == {"hook_on_generation_failed": 2}

    run(story())
    assert heard == [1, 2]
    assert caplog.text.count(f"on_generation failed: {error or type(error).__name__}") == 2


def test_a_hook_that_blocks_holds_up_neither_the_node_nor_the_other_hooks(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[RequestEvent] = []
    entered, release = threading.Event(), threading.Event()
    hearing = asyncio.Event()

    def blocks(_: GenerationEvent) -> None:
        entered.set()
        release.wait(60)

    async def hears(event: RequestEvent) -> None:
        heard.append(event)
        hearing.set()

    async def story() -> None:
        pool = ThreadPool(2)
        stage = Stage(2, pool=pool, on_generation=blocks, on_request=hears)
        async with stage.events:
            stage.take(1)
            await asyncio.to_thread(entered.wait, 60)
            stage.take(2, 3, 4, 5, 6)
            stage.events.requests.tell(RequestEvent(call="a", caller="b", failed=False, seconds=0, size=0))
            await hearing.wait()
            assert len(heard) == 1
            assert stage.events.number == 6, "who waits for a generation waits for no hook"
            assert stage.counters == {"hook_on_generation_dropped": 3}
            assert stage.status.snapshot().limits_hit == {"limits.hook_items": 3}
            release.set()
        assert stage.counters == {"hook_on_generation_dropped": 3}
        await pool.close()

    asyncio.run(story())
    assert caplog.text.count("on_generation is slower than its events: the oldest are dropped (limits.hook_items)") == 1


def test_the_oldest_are_dropped_and_an_event_counts_as_what_it_holds() -> None:
    heard: list[int] = []
    gate = asyncio.Event()

    async def slow(event: RequestEvent) -> None:
        await gate.wait()
        heard.append(event.size)

    def event(number: int) -> RequestEvent:
        return RequestEvent(call="a", caller="b", failed=False, seconds=0, size=number)

    async def story() -> None:
        stage = Stage(10, on_request=slow)
        async with stage.events:
            stage.events.requests.tell(event(0), 1_000_000)  # larger than everything that may wait, and alone
            await asyncio.sleep(0)
            for number, items in ((1, 6), (2, 4), (3, 1), (4, 9)):
                stage.events.requests.tell(event(number), items)
            gate.set()
        assert heard == [0, 3, 4]
        assert stage.counters == {"hook_on_request_dropped": 2}

    run(story())


def test_the_end_of_a_node_waits_for_what_is_still_to_be_heard_but_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[int] = []

    async def last(event: GenerationEvent) -> None:
        await asyncio.sleep(1)
        heard.append(event.number)

    async def stuck(_: RequestEvent) -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        stage = Stage(on_generation=last, on_request=stuck)
        async with stage.events:
            stage.take(1, 2)
            for _ in range(3):
                stage.events.requests.tell(RequestEvent(call="a", caller="b", failed=False, seconds=0, size=0))
            await asyncio.sleep(0)
        assert heard == [1, 2]
        assert loop.time() == pytest.approx(5)
        assert stage.counters == {"hook_on_request_dropped": 2}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(story())
    assert "on_request has not returned within 5 s; the node ends without it" in caplog.text


def test_whoever_waits_for_a_generation_is_told_when_none_comes_any_more() -> None:
    async def story() -> None:
        stage = Stage()
        async with stage.events:
            waiting = asyncio.create_task(stage.events.until(lambda: stage.events.number >= 3))
            stage.take(1, 2)
            await asyncio.sleep(0)
            assert not waiting.done()
            stage.take(3)
            await waiting
            waiting = asyncio.create_task(stage.events.until(lambda: stage.events.number >= 4))
            await asyncio.sleep(0)
        with pytest.raises(StoreError, match="this node has ended"):
            await waiting

    run(story())


def test_without_hooks_nothing_is_kept_and_no_task_is_made(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        stage = Stage(1)
        assert not stage.events.agent_info.heard
        async with stage.events:
            stage.take(*range(1000))
            assert asyncio.all_tasks() == {asyncio.current_task()}
        assert stage.counters == {}

    with caplog.at_level(logging.DEBUG, "outrider"):
        run(story())
    assert not [record for record in caplog.records if record.name.startswith("outrider")]
