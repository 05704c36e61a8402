"""What both roles are to a host: entered, waited for, left. It knows nothing of what a node does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from outrider.hooks import Hooks, NodeEvents
from outrider.ports import Ports
from outrider.relay.reloading import Reloading
from outrider.settings import Live, Reloaded, Settings
from outrider.status import Status
from outrider.world import ThreadPool, real_ports


class Lifespan(ABC):
    """What :class:`outrider.Worker` and :class:`outrider.Master` have in common: they run once.

    Enter a node with ``async with``, or call :meth:`run` and later :meth:`stop`. ``status`` counts what happens,
    ``started`` is set once it has opened its home and mended what a crash left, and, at a master, listens.
    """

    _reloading: Reloading

    def __init__(self, settings: Settings, ports: Ports | None, hooks: Hooks | None) -> None:
        self._current = Live(settings)
        self._shown = Live(settings.without_secrets())  # what calls and kinds may see of them
        self.started = asyncio.Event()
        self._pool = ThreadPool() if ports is None else None
        self._ports = ports or real_ports(self._pool)
        self.status = Status(cpu=self._ports.cpu)
        self._events = NodeEvents(hooks, self._current, self._ports, self.status)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def settings(self) -> Settings:
        """The settings that are in force: a value that never changes, another one after :meth:`reload`."""
        return self._current.now

    async def reload(self, settings: Settings | None = None) -> Reloaded:
        """Take other settings while the node runs, or read the sources of its own again; no connection is dropped.

        Returns what changed and what waits for the next start. :class:`SettingsError` has a line for everything that
        is wrong with them: then nothing has changed.
        """
        return await self._reloading.reload(settings)

    def when_settings_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change of :attr:`settings`; it must not block."""
        self._current.when_changed(listener)

    @abstractmethod
    async def run(self) -> None:
        """Run until :meth:`stop`."""

    async def stop(self) -> None:
        """End the tasks, tell the peers, close the connections; then ``run`` returns."""
        self._stopping.set()

    async def __aenter__(self) -> Self:
        """Start the node; it runs in a task of its own when this returns.

        Raises what :meth:`run` raises before it has ``started``: :class:`SettingsError` or :class:`StoreError`.
        :class:`RuntimeError` if this node has run before.
        """
        if self._running is not None:
            raise RuntimeError("a node runs once: make another one of the same settings")
        self._running = asyncio.create_task(self.run(), name=f"node {self.settings.node.name}")
        starting = asyncio.create_task(self.started.wait(), name="start")
        try:
            await asyncio.wait([self._running, starting], return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                await self._running
        except BaseException:  # it did not start, or nobody waits for it any more
            await _end(self._running)
            raise
        finally:
            await _end(starting)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Stop the node, and wait until nothing of it is left.

        Raises what had ended it; an ``error`` of the block goes on, with a note of that.
        """
        del kind, trace
        assert self._running is not None  # noqa: S101  (it was entered)
        await self.stop()
        try:
            await self._running
        except Exception as crash:
            if error is None:
                raise
            error.add_note(f"the node {self.settings.node.name} itself had ended: {type(crash).__name__}: {crash}")

    @property
    def generation(self) -> int:
        """The number of the generation whose tree was whole on this node last; 0 while none is known.

        At a worker on the base protocol it stays 0. What somebody edits here afterwards is repaired soon, and changes
        nothing of the number.
        """
        return self._events.number

    async def wait_for(self, generation: int, timeout_s: float | None = None) -> int:
        """Wait until this node stands at ``generation`` or a later one; return the one at which it stands.

        ``timeout_s`` is in seconds, ``None`` for no limit. :class:`TimeoutError` says where the node stands instead,
        :class:`StoreError` that it has ended. Cancelling the wait changes nothing else.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._events.until(lambda: self.generation >= generation)
        except TimeoutError:
            raise TimeoutError(
                f"{self.settings.node.name} stands at generation {self.generation}, "
                f"and did not reach {generation} within {timeout_s:g} s"
            ) from None
        return self.generation

    @contextlib.asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """Around all of a run: nobody waits for a node that is gone, and the threads that it made end with it."""
        try:
            yield
        finally:
            self._events.end()
            if self._pool is not None:
                await self._pool.close()


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # whoever asks has it already
