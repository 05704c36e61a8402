"""Runs a role's tasks: names them, tries again what failed, cancels them all together.

A task that fails is tried again, as :mod:`outrider.trying` does it: with one of our own errors as expected, with any
other as a defect, told in full. Only invalid settings end a task.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from outrider.errors import SettingsError
from outrider.logs import TaskLogger
from outrider.ports import Ports
from outrider.settings import Live, Settings
from outrider.status import Status
from outrider.trying import Tries


class Supervisor:
    """The tasks of one node or one connection; ``status`` shows those that are tried again."""

    def __init__(self, ports: Ports, log: TaskLogger, status: Status, *, retry_cap_s: float = 60) -> None:
        self._ports = ports
        self._log = log
        self._status = status
        self._retry_cap_s = retry_cap_s
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order in which they were started

    def repeat(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` until it returns; after an error, again."""
        self.start(name, self._repeat(name, work))

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` once, to its end or until :meth:`stop`."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel all tasks and wait until each has cleaned up."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks:
                self._tasks.pop(task, None)

    async def _repeat(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tries = Tries(name, self._ports, self._log, self._status, base_s=0.5, cap_s=self._retry_cap_s)
        with tries:
            while True:
                try:
                    with tries.holding():
                        return await work()
                except SettingsError:
                    raise
                except Exception as error:  # noqa: BLE001  (a package's task, or a host's store, may raise anything)
                    tries.failed(error)
                await tries.pause()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("%s ended: %s", task.get_name(), error, exc_info=error)


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it ends or ``stop`` is set: then it is cancelled, and has cleaned up when this returns."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)
    if not task.cancelled():
        task.result()


async def rest(ports: Ports, live: Live, seconds: Callable[[Settings], float]) -> None:
    """Pause as long as the settings say; if they say something else meanwhile that counts, from the same start on."""
    started = ports.monotonic()
    while (left := started + seconds(live.now) - ports.monotonic()) > 0:
        await within(left, live.change())


async def within(seconds: float, waiting: Awaitable[Any]) -> bool:
    """Wait for something at most so long; whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting
            return True
    return False
