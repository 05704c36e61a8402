"""The settings of a node that runs: one frozen value after another."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.settings import Live, Settings
from outrider.supervise import rest


def settings(keep_alive: float) -> Settings:
    return Settings.from_mapping({"intervals.worker.keep_alive": keep_alive})


def test_now_is_what_was_taken_last_and_what_was_read_before_never_changes() -> None:
    first, second = settings(1), settings(2)
    live = Live(first)
    before = live.now
    live.take(second)
    assert (before.intervals.worker.keep_alive, live.now.intervals.worker.keep_alive) == (1, 2)
    with pytest.raises(AttributeError):
        live.now.intervals.worker.keep_alive = 3  # type: ignore[misc]


def test_listeners_hear_of_each_change_when_it_is_in_force_and_who_waits_wakes() -> None:
    async def story() -> list[float]:
        live = Live(settings(1))
        heard: list[float] = []
        live.when_changed(lambda: heard.append(live.now.intervals.worker.keep_alive))
        waiting = asyncio.ensure_future(live.change())
        await asyncio.sleep(0)
        live.take(settings(2))
        await waiting
        live.take(settings(3))
        return heard

    assert run(story()) == [2, 3]


def test_a_listener_that_fails_is_named_and_the_others_hear_it(caplog: pytest.LogCaptureFixture) -> None:
    live = Live(settings(1))
    heard: list[float] = []
    live.when_changed(lambda: heard.append(1 / 0))
    live.when_changed(lambda: heard.append(live.now.intervals.worker.keep_alive))
    live.take(settings(2))
    assert heard == [2]
    assert "failed at other settings" in caplog.text


@pytest.mark.parametrize(("new", "ends"), [(20, 20), (5, 7), (100, 100)])
def test_a_pause_lasts_as_long_as_the_settings_say_when_it_ends(new: float, ends: float) -> None:
    """From 60 s to ``new`` after 7 s: what is over by then ends at once."""

    async def story() -> float:
        live = Live(settings(60))
        loop = asyncio.get_running_loop()
        from_now = loop.time()
        loop.call_later(7, live.take, settings(new))
        ports = simulated_ports(Fabric(Random(1)), "here")
        await rest(ports, live, lambda now: now.intervals.worker.keep_alive)
        return loop.time() - from_now

    assert run(story()) == pytest.approx(ends)
