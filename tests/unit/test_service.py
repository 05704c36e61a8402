"""A node as a service: what its manager hears, in which order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from tests.support.manager import Manager

from outrider.errors import SettingsError
from outrider.service import Service
from outrider.settings import Reloaded
from outrider.transport.notify import ServiceManager


class Node:
    """A node that is what a test says."""

    def __init__(self, *, valid: bool = True) -> None:
        self.started = asyncio.Event()
        self.how = "not connected"
        self._valid = valid

    async def run(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def reload(self) -> Reloaded:
        self.how = "loaded again"
        if not self._valid:
            raise SettingsError("limits.tasks = 0")
        return Reloaded()

    def state(self) -> str:
        return self.how


def teller_of(manager: Manager) -> ServiceManager:
    teller = ServiceManager.of(manager.environment)
    assert teller is not None
    return teller


def test_it_is_ready_when_the_node_has_started_and_lives_before_that(tmp_path: Path) -> None:
    async def story(manager: Manager) -> None:
        node = Node()
        service = Service(node, teller_of(manager))
        beside = asyncio.create_task(service.accompany())
        heard = [await asyncio.to_thread(manager.next) for _ in range(3)]
        assert heard == [{"WATCHDOG": "1"}] * 3
        node.started.set()
        assert (await asyncio.to_thread(manager.until, "READY"))[-1] == {"READY": "1", "STATUS": "not connected"}
        node.how = "in step"
        assert (await asyncio.to_thread(manager.until, "STATUS"))[-1] == {"STATUS": "in step"}
        service.stopping()
        assert (await asyncio.to_thread(manager.until, "STOPPING"))[-1]["STOPPING"] == "1"
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside
        service.close()

    with Manager(tmp_path, watchdog_s=0.02) as manager:
        asyncio.run(story(manager))


def test_a_reload_is_framed_valid_or_not(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager:
        for valid in (True, False):
            before = time.monotonic_ns() // 1000
            asyncio.run(_reload(manager, valid=valid))
            began = manager.next()
            assert began["RELOADING"] == "1"
            assert before <= int(began["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert manager.next() == {"READY": "1", "STATUS": "loaded again"}


async def _reload(manager: Manager, *, valid: bool) -> None:
    service = Service(Node(valid=valid), teller_of(manager))
    await service.reload()
    service.close()


def test_without_a_manager_nothing_is_told_and_all_else_is_done() -> None:
    async def story() -> None:
        node = Node()
        service = Service(node, None)
        await service.accompany()
        await service.reload()
        service.stopping()
        assert node.how == "loaded again"

    asyncio.run(story())
