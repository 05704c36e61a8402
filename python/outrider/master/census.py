"""Who is in the cluster and how they are: what a master answers to ``get_nodes`` and ``get_health`` (2.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from outrider.errors import StoreError
from outrider.logs import Tag, task_logger
from outrider.model import NodeInfo
from outrider.protocol.commands import GET_NODES, Command
from outrider.relay.control import WorkerState, health_answer, health_names, nodes_answer
from outrider.store.agents import AgentStore


@runtime_checkable
class CountsAgents(Protocol):
    """A store that can say how many agents are active; the store of a file of ours is one."""

    async def active_by_node(self) -> Mapping[str, int]:
        """Active agents by the name of the node that they report to."""
        ...


class Census:
    """See the module. ``workers`` tells of each worker, given the active agents of a node by its name."""

    def __init__(
        self, node: NodeInfo, agents: AgentStore, workers: Callable[[Callable[[str], int | None]], list[WorkerState]]
    ) -> None:
        self._node = node
        self._agents = agents
        self._workers = workers
        self._counting: asyncio.Task[Mapping[str, int] | None] | None = None
        self._log = task_logger(Tag.CLUSTER, node.name)

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
