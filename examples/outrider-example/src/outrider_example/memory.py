"""A store of agents in memory, for nodes whose agents need not outlive them: ``agents.store = "memory"``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from outrider import AgentInfo, AgentStore, GroupAssignment, Settings
from outrider.model import GroupMode, SyncStatus
from outrider.ports import Ports
from outrider.store.agents import AgentsPart, GroupsPart, GroupsQuery, RegisteredAgent


def make(settings: Settings, ports: Ports) -> AgentStore:
    """The store of a node that starts."""
    del settings, ports
    return MemoryStore()


class MemoryStore:
    """Agents and groups by the agent's id."""

    def __init__(self) -> None:
        self._agents: dict[int, AgentInfo] = {}
        self._unsent: dict[int, AgentInfo] = {}
        self._groups: dict[int, tuple[str, ...]] = {}
        self._unsent_groups: set[int] = set()

    async def changed_agents(self) -> AgentsPart:
        """All at once: what lies in memory is small."""
        return AgentsPart(list(self._unsent.values()), more=False)

    async def taken(self, agents: Sequence[AgentInfo]) -> None:
        """Forget that these changed, unless they changed again."""
        for agent in agents:
            if self._unsent.get(agent.id) == agent:
                del self._unsent[agent.id]

    async def send_all_again(self) -> None:
        """Count every agent as changed."""
        self._unsent = dict(self._agents)

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        """Keep what another node says."""
        for agent in agents:
            self._agents[agent.id] = agent
            self._groups.setdefault(agent.id, ())

    async def register(self, agents: Sequence[RegisteredAgent]) -> None:
        """Learn which agents there are."""
        for agent in agents:
            self._groups.setdefault(agent.id, ())

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        """All assignments that are asked for."""
        wanted = {None: set[int](), "all": set(self._groups), "sync_status": self._unsent_groups}[query.condition]
        assignments = [GroupAssignment(one, self._groups[one]) for one in sorted(wanted) if one > query.after]
        if query.set_synced:
            self._unsent_groups = set()
        return GroupsPart(assignments, more=False, hash=self._hash() if query.with_hash else None)

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        """Change assignments."""
        for one in assignments:
            has = self._groups.get(one.id, ())
            now = {
                "override": one.groups,
                "append": (*has, *one.groups),
                "empty_only": has or one.groups,
                "remove": tuple(name for name in has if name not in one.groups),
            }[mode]
            self._groups[one.id] = tuple(dict.fromkeys(now))
            (self._unsent_groups.add if status == "syncreq" else self._unsent_groups.discard)(one.id)

    async def recalculate_hashes(self) -> None:
        """They are computed whenever they are asked for."""

    async def close(self) -> None:
        """Nothing is open."""

    def _hash(self) -> str | None:
        """Over the groups of all agents by ascending id; ``None`` without any."""
        names = [",".join(groups) for _, groups in sorted(self._groups.items()) if groups]
        digests = "".join(hashlib.sha256(name.encode()).hexdigest()[:8] for name in names)
        return hashlib.sha1(digests.encode(), usedforsecurity=False).hexdigest() if names else None
