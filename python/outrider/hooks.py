"""What a node tells its host as it happens: hooks, each with a queue of its own, so that no host's code holds it up.

A hook hears its events in their order, one at a time. One that is asynchronous runs on the node's event loop; a plain
function runs in a thread. What it raises is named in the log, counted, and goes no further. While it is slow its
events wait, as many as ``limits.hook_items`` allows; then the oldest are dropped, counted and named.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

from msgspec import Struct

from outrider.errors import StoreError
from outrider.logs import Tag, task_logger
from outrider.model import AgentInfo, GroupAssignment, Plan
from outrider.ports import Ports
from outrider.settings import Live
from outrider.status import Status

E = TypeVar("E")
Hook = Callable[[E], object]
"""Takes an event: a plain function, or an asynchronous one. What it returns is not looked at."""

_LAST_S: Final = 5.0
"""A node that stops waits so long for what its hooks have still to hear, and as long again for a cancelled one."""
_LIMIT: Final = "limits.hook_items"


class GenerationEvent(Struct, frozen=True, kw_only=True):
    """The tree of this node is that of another generation, or was brought back to it: the master's own was kept.

    ``number`` is that of the generation, 0 where there is none: on a link of the base protocol, and after a person took
    a step back. ``root`` stands for the whole tree (hex digits, empty where ``number`` is 0). ``plan`` holds the files
    that were written and deleted here; ``None`` if none were, and at a master.
    """

    number: int
    root: str = ""
    plan: Plan | None = None


class AgentInfoEvent(Struct, frozen=True, kw_only=True):
    """Information on agents was handed over and lies safely at the master.

    ``peer`` is the other node: at a master the worker that sent it, at a worker ``"master"``. One message makes several
    events.
    """

    peer: str
    agents: tuple[AgentInfo, ...]


class GroupsEvent(Struct, frozen=True, kw_only=True):
    """Groups of agents have changed: written into a worker's store, or on their way from a master to its workers."""

    assignments: tuple[GroupAssignment, ...]


class RequestEvent(Struct, frozen=True, kw_only=True):
    """A request that came in at this node was answered, here or by the nodes that it was for.

    ``call`` is the name that it called, ``caller`` who asked: a node, or ``"local client "`` and a program's name.
    ``failed``: its caller got an error. ``seconds`` is how long it took from its arrival, ``size`` the bytes of the
    answer. A request whose caller left, or that could not be read, is none.
    """

    call: str
    caller: str
    failed: bool
    seconds: float
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a host wants to hear of a node: ``Worker(settings, hooks=Hooks(on_generation=reload))``.

    Each is called with one event at a time, in order; see the event's own description for when. A plain function runs
    in a thread, an asynchronous one on the node's event loop, which it must not block.
    """

    on_generation: Hook[GenerationEvent] | None = None
    on_agent_info: Hook[AgentInfoEvent] | None = None
    on_groups: Hook[GroupsEvent] | None = None
    on_request: Hook[RequestEvent] | None = None


class _Ground(NamedTuple):
    node: str
    ports: Ports
    status: Status
    live: Live


class Line(Generic[E]):
    """The events of one hook, on their way to it; as an item of ``limits.hook_items`` counts what an event holds."""

    def __init__(self, name: str, hook: Hook[E] | None, ground: _Ground) -> None:
        self.heard = hook is not None
        self._name = name
        self._hook = hook
        self._ports, self._status, self._live = ground.ports, ground.status, ground.live
        self._log = task_logger(Tag.HOOKS, ground.node)
        self._plain = hook is not None and not _is_asynchronous(hook)
        self._waiting: deque[tuple[E, int]] = deque()
        self._items = 0
        self._behind = False
        self._task: asyncio.Task[None] | None = None

    def tell(self, event: E, items: int = 1) -> None:
        """The hook hears this after what it was told before; whoever tells does not wait."""
        if self._hook is None:
            return
        self._waiting.append((event, items))
        self._items += items
        while self._items > self._live.now.limits.hook_items and len(self._waiting) > 1:
            self._items -= self._waiting.popleft()[1]
            self._drop(1)
        if self._task is None:
            self._task = asyncio.create_task(self._deliver(self._hook), name=self._name)

    async def close(self) -> None:
        """Deliver what waits, if the hook takes it soon; the rest is dropped."""
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=_LAST_S)
        if self._task is not None:
            self._drop(len(self._waiting))
            self._log.error("%s has not returned within %g s; the node ends without it", self._name, _LAST_S)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_LAST_S)

    async def _deliver(self, hook: Hook[E]) -> None:
        try:
            while self._waiting:
                event, items = self._waiting.popleft()
                self._items -= items
                await self._call(hook, event)
        finally:
            self._task = None
            self._behind = False

    async def _call(self, hook: Hook[E], event: E) -> None:
        try:
            answer = await self._ports.threads.run(_answer, hook, event) if self._plain else hook(event)
            if isinstance(answer, _Raised):
                self._failed(answer.error)
            elif inspect.isawaitable(answer):
                await answer
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            self._failed(error)
        except GeneratorExit:  # the loop is closed around us
            raise
        except BaseException as error:  # noqa: BLE001  (a host's hook that calls sys.exit() ends itself, not the node)
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._status.count(f"hook_{self._name}_failed")
        self._log.error("%s failed: %s", self._name, error or type(error).__name__, exc_info=error)

    def _drop(self, events: int) -> None:
        self._status.count(f"hook_{self._name}_dropped", events)
        self._status.limit_hit(_LIMIT)
        if not self._behind:
            self._behind = True
            self._log.warning("%s is slower than its events: the oldest are dropped (%s)", self._name, _LIMIT)


class NodeEvents:
    """The events of one node: a line for each hook, and the generation at which the node stands.

    ``number`` and ``root`` are of the generation that was whole here last, 0 and empty where none is known.
    """

    def __init__(self, hooks: Hooks | None, live: Live, ports: Ports, status: Status) -> None:
        hooks = hooks or Hooks()
        ground = _Ground(live.now.node.name, ports, status, live)
        self.number = 0
        self.root = ""
        self.agent_info = Line("on_agent_info", hooks.on_agent_info, ground)
        self.groups = Line("on_groups", hooks.on_groups, ground)
        self.requests = Line("on_request", hooks.on_request, ground)
        self._generations = Line("on_generation", hooks.on_generation, ground)
        self._moved = asyncio.Event()
        self._ended = False

    async def __aenter__(self) -> Self:
        """From here on a hook may be told."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """The node ends: nobody waits for a generation any more, and the hooks hear what is left for them."""
        self.end()
        await asyncio.gather(
            *(line.close() for line in (self._generations, self.agent_info, self.groups, self.requests))
        )

    def stands(self, event: GenerationEvent) -> None:
        """The tree is that of a generation."""
        self.number, self.root = event.number, event.root
        self._move()
        self._generations.tell(event)

    def end(self) -> None:
        """No generation comes any more."""
        self._ended = True
        self._move()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds after a move to another generation; :class:`StoreError` if the node ends before."""
        while not holds():
            if self._ended:
                raise StoreError("this node has ended, and takes no generation any more")
            await self._moved.wait()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class _Raised(NamedTuple):
    error: BaseException


def _answer(hook: Hook[E], event: E) -> object:
    """Call it in a thread; what it raises comes back as a value, since a loop takes some exceptions for its own."""
    try:
        return hook(event)
    except BaseException as error:  # noqa: BLE001  (see above)
        return _Raised(error)


def _is_asynchronous(hook: Any) -> bool:
    """Whether calling it makes a coroutine, so that no thread is needed: a function, or an object that is called."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__)
