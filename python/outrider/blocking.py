"""Nodes for programs without an event loop: each runs on a loop of its own, in a thread of its own.

No signal handler is set, no logger configured, and nothing is left when the block is: neither thread nor task.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, Self, TypeVar

from outrider.errors import StoreError
from outrider.hooks import Hooks
from outrider.kinds.interface import Kind
from outrider.master import Master
from outrider.settings import Settings
from outrider.status import Status
from outrider.store.agents import AgentStore
from outrider.worker import Worker

N = TypeVar("N", Worker, Master)
T = TypeVar("T")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class _InThread(Generic[N]):
    """A node, and the thread that it runs in from entering the block to leaving it."""

    def __init__(self, node: N, loop_factory: LoopFactory | None) -> None:
        self.node: N = node
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving = asyncio.Event()
        self._left = False
        self._entered: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name=f"outrider {node.settings.node.name}")
        self._crash: Exception | None = None

    def __enter__(self) -> Self:
        """Start the node; it runs in its thread when this returns.

        Raises what entering the node raises: :class:`SettingsError` or :class:`StoreError`. :class:`TypeError` inside a
        running event loop, which this would hold up.
        """
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise TypeError(f"this waits, and would hold up this event loop: use async with {type(self.node).__name__}")
        self._thread.start()
        try:
            self._entered.result()
        except BaseException:  # it did not start, or somebody has pressed Ctrl-C
            self._leave()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Stop the node, and wait until its thread has ended.

        Raises what had ended it; an ``error`` of the block goes on, with a note of that.
        """
        del kind, trace
        self._leave()
        if self._crash is not None:
            if error is None:
                raise self._crash
            error.add_note(f"the node itself had ended: {type(self._crash).__name__}: {self._crash}")

    @property
    def status(self) -> Status:
        """What the node counts; ``status.snapshot()`` is a moment of it."""
        return self.node.status

    @property
    def generation(self) -> int:
        """The number of the generation whose tree was whole on this node last; 0 while none is known."""
        return self.node.generation

    def wait_for(self, generation: int, timeout_s: float | None = None) -> int:
        """Wait until the node stands at ``generation`` or a later one; return the one at which it stands.

        ``timeout_s`` is in seconds, ``None`` for no limit. :class:`TimeoutError` says where the node stands instead,
        :class:`StoreError` that it does not run.
        """
        return self.ask(lambda node: node.wait_for(generation, timeout_s))

    def ask(self, work: Callable[[N], Coroutine[Any, Any, T]]) -> T:
        """Run ``work(node)`` on the node's loop and return or raise what it does: the way to all that is asynchronous.

        :class:`StoreError` if the node does not run.
        """
        if self._loop is None:
            raise StoreError("this node does not run")
        asked = asyncio.run_coroutine_threadsafe(work(self.node), self._loop)
        try:
            return asked.result()
        finally:
            asked.cancel()  # if whoever asks was interrupted

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._live())
        except Exception as error:  # noqa: BLE001  (it is raised where the host waits)
            if self._entered.done():
                self._crash = error
            else:
                self._entered.set_exception(error)

    async def _live(self) -> None:
        async with self.node:
            self._loop = asyncio.get_running_loop()
            self._entered.set_result(None)
            try:
                if not self._left:
                    await self._leaving.wait()
            finally:
                self._loop = None

    def _leave(self) -> None:
        """End the node and its thread; one that is just starting looks whether it is still wanted."""
        self._left = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._leaving.set)
        self._thread.join()


class SyncWorker(_InThread[Worker]):
    """A :class:`Worker` for programs without an event loop: ``with outrider.SyncWorker(settings) as worker:``.

    What it takes and raises is what :class:`Worker` does. ``loop_factory`` makes the loop, e.g. uvloop's;
    ``node`` is the worker itself, which belongs to that loop: use :meth:`ask`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        agents: AgentStore | None = None,
        kinds: Iterable[Kind] = (),
        hooks: Hooks | None = None,
        loop_factory: LoopFactory | None = None,
    ) -> None:
        super().__init__(Worker(settings, agents=agents, kinds=kinds, hooks=hooks), loop_factory)


class SyncMaster(_InThread[Master]):
    """A :class:`Master` for programs without an event loop: ``with outrider.SyncMaster(settings) as master:``.

    What it takes and raises is what :class:`Master` does. ``loop_factory`` makes the loop, e.g. uvloop's;
    ``node`` is the master itself, which belongs to that loop: use :meth:`ask`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        agents: AgentStore | None = None,
        kinds: Iterable[Kind] = (),
        hooks: Hooks | None = None,
        loop_factory: LoopFactory | None = None,
    ) -> None:
        super().__init__(Master(settings, agents=agents, kinds=kinds, hooks=hooks), loop_factory)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each bound address."""
        return self.node.addresses

    def publish(self) -> int:
        """Look at the tree now and return the number of its generation; see :meth:`Master.publish`.

        :class:`StoreError` if the tree cannot be read, or the node does not run.
        """
        return self.ask(lambda node: node.publish())
