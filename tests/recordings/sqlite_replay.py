"""Requests to a wazuh-db, made to the embedded store instead.

The cluster's are calls of the port, those of other programs that set the stage are edits. What the port's
types cannot say is refused here, as it is at the edge of a node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct, structs

from outrider.errors import RecordsRefused
from outrider.model import AgentInfo, GroupAssignment, GroupMode, Label, SyncStatus
from outrider.protocol.agents import decode_agents
from outrider.store.agents import GroupsQuery, RegisteredAgent
from outrider.store.sqlite import SqliteStore
from outrider.store.sqlite.listing import KnownAgent

CLOCK = 1_795_467_147
"""The recorded wazuh-db's time."""


class Answer(NamedTuple):
    """What a request of the cluster came to; ``agents`` and ``groups`` are whole, in however many parts they came."""

    ok: bool
    agents: Sequence[AgentInfo] = ()
    groups: Sequence[GroupAssignment] = ()
    hash: str | None = None


REFUSED = Answer(ok=False)
DONE = Answer(ok=True)


class GroupsGet(Struct, frozen=True, forbid_unknown_fields=True):
    """The argument of ``sync-agent-groups-get``."""

    condition: Literal["all", "sync_status"] | None = None
    last_id: Annotated[int, Meta(ge=0)] = 0
    set_synced: bool = False
    get_global_hash: bool = False
    agent_registration_delta: Annotated[int, Meta(ge=0)] | None = None


class GroupsSet(Struct, frozen=True):
    """The argument of ``set-agent-groups``."""

    mode: GroupMode
    data: list[GroupAssignment]
    sync_status: SyncStatus = "synced"


class Replay:
    """One store and the clock that it reads."""

    def __init__(self) -> None:
        self.now = CLOCK
        self.store: SqliteStore

    async def ask(self, request: str) -> Answer:
        """Make a request of the cluster."""
        _, command, *rest = request.split(" ", 2)
        argument = rest[0] if rest else ""
        try:
            match command:
                case "sync-agent-info-get":
                    return Answer(ok=True, agents=await self._changed_agents())
                case "sync-agent-info-set":
                    await self._store_agents(argument)
                case "sync-agent-groups-get":
                    return await self._groups(msgspec.json.decode(argument, type=GroupsGet))
                case "set-agent-groups":
                    told = msgspec.json.decode(argument, type=GroupsSet)
                    await self.store.set_groups(told.data, told.mode, told.sync_status)
                case "recalculate-agent-group-hashes":
                    await self.store.recalculate_hashes()
                case _:
                    raise AssertionError(f"no request of the cluster: {request}")
        except (ValueError, RecordsRefused):
            return REFUSED
        return DONE

    async def _changed_agents(self) -> list[AgentInfo]:
        """To read is to take: the original marks agents as sent when it hands them out."""
        agents: list[AgentInfo] = []
        more = True
        while more:
            part, more = await self.store.changed_agents()
            agents += part
            await self.store.taken(part)
        return agents

    async def _store_agents(self, argument: str) -> None:
        """As the original: elements that are no objects are passed over, the first bad agent ends it."""
        elements = json.loads(argument)
        for element in elements if isinstance(elements, list) else ():
            if isinstance(element, dict):
                await self.store.store_agents(decode_agents(json.dumps([element]).encode()))

    async def _groups(self, told: GroupsGet) -> Answer:
        query = GroupsQuery(
            told.condition, told.last_id, told.set_synced, told.get_global_hash, told.agent_registration_delta
        )
        found: list[GroupAssignment] = []
        while (part := await self.store.groups(query)).more:
            found += part.assignments
            query = query._replace(after=part.assignments[-1].id)
        return Answer(ok=True, groups=[*found, *part.assignments], hash=part.hash)

    # what set the stage

    async def edit(self, request: str) -> bool:
        """Bring about what another program's request did; whether it did anything that the cluster could see."""
        for pattern, edit in _EDITS.items():
            if found := re.fullmatch(pattern, request, re.DOTALL):
                await edit(self, *found.groups())
                return True
        return False

    async def everyone(self) -> list[KnownAgent]:
        """All agents of the store."""
        agents: list[KnownAgent] = []
        more = True
        while more:
            part, more = await self.store.agents(agents[-1].id if agents else 0)
            agents += part
        return agents

    async def insert_agent(self, argument: str) -> None:
        told = json.loads(argument)
        self.now, now = told["date_add"], self.now
        await self.store.register([RegisteredAgent(told["id"], told["name"], told.get("register_ip", "any"))])
        self.now = now
        agent = AgentInfo(
            id=told["id"],
            name=told["name"],
            ip=told.get("ip"),
            node_name="unknown",
            connection_status="never_connected",
            disconnection_time=0,
            group_config_status="not synced",
            status_code=0,
        )
        await self.store.store_agents([agent])

    async def update(self, argument: str) -> None:
        """What remoted tells of an agent, whichever of its commands it uses."""
        told = json.loads(argument)
        known = await self.store.agent(told.pop("id"))
        if known is None or known.info is None:
            return
        sync = told.pop("sync_status", None)
        if "agent_ip" in told:
            told["ip"] = told.pop("agent_ip")
        if "labels" in told:
            lines = (line.rpartition(":") for line in told.pop("labels").splitlines())
            told["labels"] = tuple(Label(known.id, key, value) for key, _, value in lines)
        if told.get("connection_status") == "disconnected":
            told["disconnection_time"] = self.now
        elif "connection_status" in told:
            told["last_keepalive"] = self.now
        await self._write([structs.replace(known.info, **told)], unsent=sync == "syncreq" or known.info_unsent)

    async def change_where(self, matches: Callable[[int], bool], unsent: bool | None, **columns: Any) -> None:
        """``update agent set ... where ...``; ``unsent`` is what becomes of ``sync_status``, ``None`` if it stays."""
        for known in await self.everyone():
            if known.info and matches(known.id):
                changed = structs.replace(known.info, **columns)
                await self._write([changed], unsent=known.info_unsent if unsent is None else unsent)

    async def _write(self, agents: Sequence[AgentInfo], *, unsent: bool) -> None:
        await (self.store.put(agents) if unsent else self.store.store_agents(agents))

    async def assign(self, assignments: Iterable[GroupAssignment]) -> None:
        await self.store.set_groups(list(assignments))

    async def groups_like(self, letter: str, most: int) -> tuple[str, ...]:
        names = [group.name for group in await self.store.all_groups() if group.name.startswith(letter)]
        return tuple(names[:most])

    async def remove_group(self, name: str) -> None:
        await self.store.remove_group(name)

    async def remove_agents(self, first: int) -> None:
        await self.store.remove(known.id for known in await self.everyone() if known.id >= first)

    async def belong(self, agent: int, letter: str, most: int) -> None:
        """``insert into belongs ... select``: behind the groups that the agent has."""
        known = await self.store.agent(agent)
        assert known
        await self.assign([GroupAssignment(agent, (*known.groups, *await self.groups_like(letter, most)))])


_UPDATES = "update-(?:agent-data|keepalive|connection-status|status-code|agent-name)"
_SQL = "global sql "
_EDITS: dict[str, Callable[..., Any]] = {
    r"global insert-agent-group (\S+)": lambda replay, name: replay.store.add_groups([name]),
    r"global delete-group (\S+)": Replay.remove_group,
    r"global insert-agent (\{.*\})": Replay.insert_agent,
    rf"global {_UPDATES} (\{{.*\}})": Replay.update,
    r"global delete-agent (\d+)": lambda replay, number: replay.store.remove([int(number)]),
    _SQL + r"update agent set last_keepalive = (\d+), disconnection_time = 0 where id > 0": (
        lambda replay, now: replay.change_where(
            lambda number: number > 0, None, last_keepalive=int(now), disconnection_time=0
        )
    ),
    _SQL + r"update agent set sync_status='syncreq' where id > 0 and id <= (\d+)": (
        lambda replay, last: replay.change_where(lambda number: number <= int(last), unsent=True)
    ),
    _SQL + r"update agent set sync_status='syncreq' where id = (\d+)": (
        lambda replay, only: replay.change_where(lambda number: number == int(only), unsent=True)
    ),
    _SQL + r"update agent set sync_status='synced'": lambda replay: replay.change_where(bool, unsent=False),
    _SQL
    + r"update agent set os_uname=substr\(hex\(zeroblob\(40000\)\),1,(\d+)\), sync_status='syncreq' where id=(\d+)": (
        lambda replay, length, only: replay.change_where(
            lambda number: number == int(only), unsent=True, os_uname="0" * int(length)
        )
    ),
    _SQL + r"update agent set os_uname='x', sync_status='synced' where id=(\d+)": (
        lambda replay, only: replay.change_where(lambda number: number == int(only), unsent=False, os_uname="x")
    ),
    _SQL + r"delete from agent where id > (\d+)": lambda replay, last: replay.remove_agents(int(last) + 1),
    _SQL + r"delete from belongs": lambda replay: replay.assign(GroupAssignment(number, ()) for number in (1, 2, 3)),
    _SQL + r"insert into belongs .* select (\d+), id, id from \"group\" where name like '(.)%'(?: and .* <= (\d+))?": (
        lambda replay, number, letter, most: replay.belong(int(number), letter, int(most or 1))
    ),
}
"""Requests that other programs made, and what each means for the store."""
