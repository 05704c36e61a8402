"""Tasks that are tried again, pauses that grow and are spread by chance, a stop that waits for cleaning up."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import NoReturn

import pytest
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.errors import SettingsError, TransportError
from outrider.logs import Tag, task_logger
from outrider.ports import Ports
from outrider.status import Status
from outrider.supervise import Supervisor, until, within

LOG = task_logger(Tag.CLUSTER, "node01")


def ports() -> Ports:
    return simulated_ports(Fabric(Random(1)), "node01")


def test_what_fails_is_tried_again_until_it_returns() -> None:
    async def story() -> None:
        tries: list[float] = []

        async def work() -> None:
            tries.append(asyncio.get_running_loop().time())
            if len(tries) < 4:
                raise TransportError("not yet")

        supervisor = Supervisor(ports(), LOG, Status())
        supervisor.repeat("work", work)
        await asyncio.sleep(100)
        assert len(tries) == 4
        await supervisor.stop()

    run(story())


def test_threat_49_a_defect_is_told_in_full_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise RuntimeError("a defect")

        supervisor = Supervisor(ports(), LOG, Status())
        supervisor.repeat("the work", work)
        await asyncio.sleep(1000)
        assert tries == 3

    with caplog.at_level(logging.ERROR, "outrider"):
        run(story())
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == ["a defect", "a defect"]


def test_invalid_settings_end_a_task_and_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    error = SettingsError("ours")

    async def story() -> None:
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            raise error

        supervisor = Supervisor(ports(), LOG, Status())
        supervisor.repeat("the work", work)
        await asyncio.sleep(1000)
        assert tries == 1

    with caplog.at_level(logging.ERROR, "outrider"):
        run(story())
    assert [record.getMessage() for record in caplog.records] == [f"the work ended: {error}"]


def test_stopping_waits_until_every_task_has_cleaned_up_even_those_started_meanwhile() -> None:
    async def story() -> None:
        cleaned: list[str] = []
        supervisor = Supervisor(ports(), LOG, Status())

        async def work(name: str) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                if name == "first":
                    supervisor.start("second", work("second"))
                await asyncio.sleep(1)
                cleaned.append(name)

        supervisor.start("first", work("first"))
        await asyncio.sleep(0)
        await supervisor.stop()
        assert cleaned[0] == "first"
        assert not supervisor._tasks

    run(story())


def test_within_says_whether_it_came() -> None:
    async def story() -> None:
        assert await within(2, asyncio.sleep(1))
        assert not await within(1, asyncio.sleep(2))

    run(story())


def test_until_ends_with_the_work_or_with_the_event_and_passes_an_error_on() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        await until(stop, asyncio.sleep(5))
        assert loop.time() == 5
        loop.call_later(2, stop.set)
        cleaned = False

        async def work() -> None:
            nonlocal cleaned
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(1)
                cleaned = True

        await until(stop, work())
        assert (loop.time(), cleaned) == (8, True)

        async def fail() -> NoReturn:
            raise SettingsError("a port is taken")

        with pytest.raises(SettingsError):
            await until(asyncio.Event(), fail())

    run(story())
