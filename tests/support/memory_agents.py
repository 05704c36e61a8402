"""A store of agents in memory: the whole port, in the meaning of specification 6.3 and 6.4, and faults on demand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

from outrider.errors import RecordsRefused
from outrider.model import MOST_GROUPS, AgentInfo, GroupAssignment, GroupMode, SyncStatus, is_group_name
from outrider.store.agents import AgentsPart, GroupsPart, GroupsQuery, RegisteredAgent


class MemoryAgents:
    """See the module. ``part`` is how many rows a part holds; ``fault`` is raised by every call, after ``seconds``."""

    def __init__(self, groups: dict[int, tuple[str, ...]] | None = None, *, part: int = 1000) -> None:
        self.agents: dict[int, AgentInfo] = {}
        self.known: dict[int, tuple[str, ...]] = dict(groups or {})
        self.changed: set[int] = set()
        self.changed_groups: set[int] = set()
        self.part = part
        self.fault: Exception | None = None
        self.seconds = 0.0
        self.calls: list[str] = []
        self.listeners: list[Callable[[], None]] = []

    async def changed_agents(self) -> AgentsPart:
        await self._called("changed_agents")
        ids = sorted(self.changed)
        return AgentsPart([self.agents[one] for one in ids[: self.part]], len(ids) > self.part)

    async def taken(self, agents: Sequence[AgentInfo]) -> None:
        await self._called("taken")
        self.changed -= {agent.id for agent in agents if self.agents[agent.id] == agent}

    async def send_all_again(self) -> None:
        await self._called("send_all_again")
        self.changed = {one.id for one in self.agents.values() if one.connection_status != "never_connected"}

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        await self._called("store_agents")
        for agent in agents:
            self.agents[agent.id] = agent
            self.known.setdefault(agent.id, ())

    async def register(self, agents: Sequence[RegisteredAgent]) -> None:
        await self._called("register")
        for agent in agents:
            new = AgentInfo(id=agent.id, name=agent.name, ip=agent.ip, connection_status="never_connected")
            self.agents.setdefault(agent.id, new)
            self.known.setdefault(agent.id, ())

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        await self._called("groups")
        wanted = {None: (), "all": self.known, "sync_status": self.changed_groups}[query.condition]
        ids = [one for one in sorted(wanted) if one > query.after]
        handed = ids[: self.part]
        if query.set_synced:
            self.changed_groups -= set(handed)
        more = len(ids) > len(handed)
        digest = self.hash() if query.with_hash and not more else None
        return GroupsPart([GroupAssignment(one, self.known[one]) for one in handed], more, digest)

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        await self._called("set_groups")
        refused = []
        for agent, groups in ((one.id, one.groups) for one in assignments):
            bad = [name for name in groups if not is_group_name(name)]
            refused += [f"agent {agent}: {name!r} is no name of a group" for name in bad]
            self._assign(agent, tuple(name for name in groups if name not in bad), mode)
            (self.changed_groups.add if status == "syncreq" else self.changed_groups.discard)(agent)
        if status == "syncreq":
            for listener in self.listeners:
                listener()
        if refused:
            raise RecordsRefused("; ".join(refused))

    def when_groups_change(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    async def recalculate_hashes(self) -> None:
        await self._called("recalculate_hashes")

    async def close(self) -> None:
        await self._called("close")

    def hash(self) -> str | None:
        """Over all groups (6.4)."""
        digests = [hashlib.sha256(",".join(groups).encode()).hexdigest()[:8] for _, groups in self._with_groups()]
        return hashlib.sha1("".join(digests).encode()).hexdigest() if digests else None

    def _with_groups(self) -> list[tuple[int, tuple[str, ...]]]:
        return [(agent, groups) for agent, groups in sorted(self.known.items()) if groups]

    def _assign(self, agent: int, groups: tuple[str, ...], mode: GroupMode) -> None:
        has = self.known.get(agent, ())
        now = {
            "override": groups,
            "append": (*has, *groups),
            "empty_only": has or groups,
            "remove": tuple(name for name in has if name not in groups),
        }[mode]
        self.known[agent] = tuple(dict.fromkeys(now))[:MOST_GROUPS]

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
