"""Who is in the cluster and how they are: what a master answers to ``get_nodes`` and ``get_health`` (2.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, runtime_checkable

from outrider.errors import StoreError
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk
from outrider.logs import Tag, task_logger
from outrider.model import NodeInfo
from outrider.protocol.commands import GET_HEALTH, GET_NODES, Command
from outrider.relay.control import WorkerState, health_answer, health_names, nodes_answer
from outrider.transport.answers import Reply


@runtime_checkable
class CountsAgents(Protocol):
    """A store that can say how many agents are active; the store of a file of ours is one."""

    async def active_by_node(self) -> Mapping[str, int]:
        """Active agents by the name of the node that they report to."""
        ...


States = Callable[[Callable[[str], int | None]], list[WorkerState]]
"""How each worker is, given the active agents of a node by its name."""


class Census(Half["WorkerCensus"]):
    """See the module."""

    def __init__(self, ground: NodeGround, workers: States) -> None:
        super().__init__()
        self._node = node = ground.node
        self._agents = ground.agents
        self._workers = workers
        self._counting: asyncio.Task[Mapping[str, int] | None] | None = None
        self._log = task_logger(Tag.CLUSTER, node.name)

    def talk(self, link: LinkGround) -> WorkerCensus:
        """What one worker asks."""
        del link
        return WorkerCensus(self)

    def nodes(self) -> list[NodeInfo]:
        """All nodes, the master first."""
        return [self._node, *(worker.node for worker in self._workers(lambda _: None))]

    async def answer(self, command: Command, arguments: bytes) -> bytes:
        """The JSON that answers ``get_nodes`` or ``get_health``; :class:`Refusal` with the codes of 2.5."""
        if command is GET_NODES:
            return nodes_answer(arguments, self.nodes())
        names = health_names(arguments)
        active = await self._active()

        def count(node: str) -> int | None:
            return None if active is None else active.get(node, 0)

        return health_answer(names, self._node, count(self._node.name), self._workers(count))

    async def _active(self) -> Mapping[str, int] | None:
        """One count serves all who ask while it goes on; ``None`` where nobody counts."""
        if self._counting is None:
            self._counting = asyncio.create_task(self._count())
            self._counting.add_done_callback(self._counted)
        return await asyncio.shield(self._counting)

    def _counted(self, _: asyncio.Task[Mapping[str, int] | None]) -> None:
        self._counting = None

    async def _count(self) -> Mapping[str, int] | None:
        if not isinstance(self._agents, CountsAgents):
            return None
        try:
            return await self._agents.active_by_node()
        except StoreError as error:
            self._log.warning("the active agents could not be counted: %s", error)
            return None


class WorkerCensus(Talk):
    """A worker asks on behalf of its local clients."""

    def __init__(self, census: Census) -> None:
        self._census = census

    def serves(self) -> Mapping[Command, Serve]:
        """Both questions."""
        return {command: partial(self._answer, command) for command in (GET_NODES, GET_HEALTH)}

    async def _answer(self, command: Command, payload: bytes) -> Reply:
        return Reply(await self._census.answer(command, payload))
