"""The embedded store of agents, as the tasks, the command line and a host's program use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from outrider.errors import RecordsRefused, UnknownAgents
from outrider.model import AgentInfo, GroupAssignment, GroupMode, SyncStatus
from outrider.ports import Threads
from outrider.store.agents import AgentsPart, GroupsPart, GroupsQuery, Numbers, RegisteredAgent
from outrider.store.sqlite import agents, groups, listing
from outrider.store.sqlite.database import Database
from outrider.store.sqlite.groups import Group
from outrider.store.sqlite.listing import KnownAgent, ListingPart
from outrider.store.sqlite.parts import Limits

_NAMED = 20
"""So many refusals stand in an error's text; the rest is counted."""


class SqliteStore:
    """Agents and groups in one file; fills the port :class:`outrider.AgentStore`, and edits.

    The file is made when it is first needed. ``wall`` gives Unix seconds; ``unknown`` says whether an agent or
    group that arrives unknown is added, or left out as wazuh-db does; ``timeout_s`` is the longest wait for
    a database that another process holds. Several processes may use one file at the same time.
    """

    def __init__(
        self,
        path: Path,
        threads: Threads,
        *,
        wall: Callable[[], float],
        unknown: Literal["add", "wazuh"] = "add",
        timeout_s: float = 30.0,
        limits: Limits | None = None,
    ) -> None:
        self._database = Database(path, threads, timeout_s)
        self._wall = wall
        self._add = unknown == "add"
        self._limits = limits or Limits()
        self._handed_out: dict[int, AgentInfo] = {}
        self._handed_out_at = 0  # the number of the last change at that time
        self._listeners: list[Callable[[], None]] = []

    async def close(self) -> None:
        """Free everything; called once."""
        await self._database.close()

    async def active_by_node(self) -> Mapping[str, int]:
        """How many agents are active, by the name of the node that they report to."""
        return await self._database.read(listing.active_by_node)

    async def numbers(self) -> Numbers:
        """How many agents and groups there are."""
        return await self._database.read(listing.numbers)

    # the port: agent information

    async def changed_agents(self) -> AgentsPart:
        """Agents whose information changed since it was last taken; asked by one caller at a time.

        The same come again until they are taken.
        """
        found, self._handed_out_at, more = await self._database.read(agents.changed, self._limits)
        # Here and not in the thread: what a cancelled caller never saw must not count as handed out.
        self._handed_out = {agent.id: agent for agent in found}
        return AgentsPart(found, more)

    async def taken(self, taken: Sequence[AgentInfo]) -> None:
        """These lie safely elsewhere now: they have changed no more, unless they changed again meanwhile."""
        ids = [agent.id for agent in taken if self._handed_out.get(agent.id) == agent]
        await self._database.write(agents.forget, ids, self._handed_out_at)

    async def send_all_again(self) -> None:
        """Count every agent as changed."""
        await self._database.write(agents.change_all)

    async def store_agents(self, received: Sequence[AgentInfo]) -> None:
        """Keep what another node says of its agents, as already sent.

        :class:`RecordsRefused` names an agent that cannot be kept, and nothing of the batch is;
        :class:`UnknownAgents` names agents whose labels could not be kept, and everything else is.
        """
        lost = await self._database.write(agents.store, received, self._now(), add=self._add)
        if lost:
            named = _listed([f"agent {number}" for number in lost])
            raise UnknownAgents(f"unknown here, so that their labels are not kept: {named}")

    async def register(self, registered: Sequence[RegisteredAgent]) -> None:
        """Learn which agents exist; what is known of them otherwise stays."""
        await self._database.write(agents.register, registered, self._now())

    # the port: groups

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        """Assignments, a bounded part of them."""
        run = self._database.write if query.set_synced else self._database.read
        return await run(groups.part, query, self._limits, self._now())

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        """Change assignments. All that can be are, then :class:`RecordsRefused` names those that could not."""
        refused = await self._database.write(groups.change, assignments, mode, status, self._now(), add=self._add)
        if status == "syncreq":
            self._tell()
        if refused:
            raise RecordsRefused(_listed(refused))

    async def recalculate_hashes(self) -> None:
        """Compute each agent's group hash again."""
        await self._database.write(groups.recalculate)

    # what people and programs look at and edit

    async def put(self, changed: Sequence[AgentInfo]) -> None:
        """Add or replace agents as changed on this node: a worker sends them. Labels that are ``None`` stay."""
        await self._database.write(agents.put, changed, self._now())

    async def remove(self, ids: Iterable[int]) -> int:
        """Remove agents and their groups here; how many there were."""
        return await self._database.write(agents.remove, list(ids))

    async def agents(self, after: int = 0) -> ListingPart:
        """Every agent with an id above ``after``, a bounded part of them."""
        return await self._database.read(listing.part, after, self._limits)

    async def agent(self, number: int) -> KnownAgent | None:
        """One agent, ``None`` if it is not known."""
        return await self._database.read(listing.one, number)

    async def all_groups(self) -> list[Group]:
        """Every group by name."""
        return await self._database.read(groups.all_groups)

    async def add_groups(self, names: Iterable[str]) -> None:
        """Make groups; those that there are stay. :class:`RecordsRefused` if a name is not allowed."""
        await self._database.write(groups.add_groups, list(names))

    async def remove_group(self, name: str) -> bool:
        """Take a group from every agent and remove it; whether there was one."""
        removed = await self._database.write(groups.remove_group, name)
        if removed:
            self._tell()
        return removed

    def when_groups_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change of assignments through this object that is still to be sent."""
        self._listeners.append(listener)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _now(self) -> int:
        return int(self._wall())


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more
