"""The agents and groups of a running wazuh-db, as the port that the tasks speak to (specification 6.3)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outrider.codes import Code
from outrider.errors import StoreError
from outrider.model import AgentInfo, GroupAssignment, GroupMode, SyncStatus
from outrider.protocol.agents import AGENT_INFO_SET, GROUPS_SET, GroupsText, decode_groups, encode_agent
from outrider.store.agents import AgentsPart, GroupsPart, GroupsQuery, RegisteredAgent
from outrider.store.wazuh_db.batches import Command, Record, write
from outrider.store.wazuh_db.changed import ChangedAgents
from outrider.store.wazuh_db.client import READ_GROUPS, Client

_STORE_AGENTS = Command(AGENT_INFO_SET.encode() + b" [", b"]")
_RECALCULATE = b"global recalculate-agent-group-hashes"
_REPEATABLE: frozenset[GroupMode] = frozenset({"override", "remove"})
"""Modes that come to the same when they are repeated; the others go one agent at a time."""


class WazuhDb:
    """An :class:`outrider.store.agents.AgentStore`; who agents are is authd's business, not ours."""

    def __init__(self, client: Client, changed: ChangedAgents) -> None:
        self._client = client
        self._changed = changed

    async def changed_agents(self) -> AgentsPart:
        """A part of at most 64 KiB. wazuh-db marks it as sent when it answers."""
        return await self._changed.next_part()

    async def taken(self, agents: Sequence[AgentInfo]) -> None:
        """Nothing is left to do: they were marked when they were read."""

    async def send_all_again(self) -> None:
        """Count every agent as changed."""
        await self._changed.send_all_again()

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        """Update the agents that wazuh-db knows; of others without labels it takes no notice."""
        await write(self._client, _STORE_AGENTS, (Record(agent.id, encode_agent(agent)) for agent in agents))

    async def register(self, agents: Sequence[RegisteredAgent]) -> None:
        """Nothing: beside a wazuh-db there is a daemon that fills it from ``client.keys``."""

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        """Assignments, a part of at most 64 KiB."""
        reply = await self._client.ask(READ_GROUPS + _groups_query(query))
        try:
            part = decode_groups(reply.payload) if reply.payload != b"[]" else GroupsText([])
        except ValueError as error:
            raise StoreError(f"wazuh-db's answer is no list of groups: {error}").coded(Code.STRANGE_WAZUH_DB) from error
        more = reply.status == "due"
        if more and not part.data:
            raise StoreError(
                f"wazuh-db hands out no groups and says that there are more: those of an agent above {query.after} "
                "alone are larger than one answer; shorten the names of its groups"
            ).coded(Code.LARGER_THAN_AN_ANSWER)
        return GroupsPart(part.data, more, part.hash if isinstance(part.hash, str) else None)

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        """Change assignments; a group or an agent that wazuh-db does not know is refused."""
        head = msgspec.json.encode({"mode": mode, "sync_status": status})[:-1]
        command = Command(GROUPS_SET.encode() + b" " + head + b',"data":[', b"]}")
        records = (Record(assignment.id, msgspec.json.encode(assignment)) for assignment in assignments)
        await write(self._client, command, records, singly=mode not in _REPEATABLE)

    async def recalculate_hashes(self) -> None:
        """Let wazuh-db compute them."""
        await self._client.ask(_RECALCULATE)

    async def close(self) -> None:
        """Give back what was read for nobody, then close the connections."""
        await self._changed.close()
        await self._client.close()


def _groups_query(query: GroupsQuery) -> bytes:
    fields: dict[str, str | int | bool] = {} if query.condition is None else {"condition": query.condition}
    fields |= {"last_id": query.after, "set_synced": query.set_synced, "get_global_hash": query.with_hash}
    if query.registered_before_s is not None:
        fields["agent_registration_delta"] = query.registered_before_s
    return msgspec.json.encode(fields)
