"""The cluster's commands of a wazuh-db (specification 6.3), answered from an :class:`AgentStore`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from outrider.errors import RecordsRefused, UnknownAgents
from outrider.model import AgentInfo, GroupAssignment
from outrider.protocol.agents import decode_agents, encode_agent, encode_groups
from outrider.store.agents import AgentStore, GroupsQuery

PART_BYTES = 65_024


class StoreAnswers:
    """Call it with a request; it is what :class:`tests.support.wazuh_db.WazuhDbDaemon` asks."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store
        self._pending: deque[AgentInfo] = deque()

    async def __call__(self, request: bytes) -> Sequence[bytes]:
        echo = b"\n" if request.endswith(b"\n") else b""
        text = request.removesuffix(b"\n").partition(b"\0")[0]
        actor, _, rest = text.partition(b" ")
        command, _, argument = rest.partition(b" ")
        serve = {
            b"sync-agent-info-get": self._read_agents,
            b"sync-agent-info-set": self._store_agents,
            b"sync-agent-groups-get": self._read_groups,
            b"set-agent-groups": self._set_groups,
            b"recalculate-agent-group-hashes": self._recalculate,
            b"sql": self._sql,
        }.get(command)
        if actor != b"global" or serve is None:
            return [b"err Invalid DB query syntax, near '%b'" % command + echo]
        try:
            return [await serve(argument) + echo]
        except ValueError:
            return [b"err Invalid JSON syntax, near '%b'" % argument[:32] + echo]

    async def _refill(self) -> None:
        """What changed, marked as sent at once, as wazuh-db does."""
        part = await self._store.changed_agents()
        while part.agents:
            self._pending.extend(part.agents)
            await self._store.taken(part.agents)
            if not part.more:
                break
            part = await self._store.changed_agents()

    async def _read_agents(self, argument: bytes) -> bytes:
        if argument.startswith(b"last_id "):
            after = int(argument.removeprefix(b"last_id "))
            while self._pending and self._pending[0].id <= after:
                self._pending.popleft()
        if not self._pending:
            await self._refill()
        texts: list[bytes] = []
        size = 2
        while self._pending:
            text = encode_agent(self._pending[0])
            if size + len(text) + 1 >= PART_BYTES:
                return b"due [%b]" % b",".join(texts)
            texts.append(text)
            size += len(text) + 1
            self._pending.popleft()
        return b"ok [%b]" % b",".join(texts)

    async def _store_agents(self, argument: bytes) -> bytes:
        try:
            await self._store.store_agents(decode_agents(argument))
        except UnknownAgents:
            return b"err Cannot execute Global database query; FOREIGN KEY constraint failed"
        except RecordsRefused as error:
            return f"err Cannot execute Global database query; {error}".encode()
        return b"ok"

    async def _read_groups(self, argument: bytes) -> bytes:
        fields = msgspec.json.decode(argument, type=dict[str, Any])
        query = GroupsQuery(
            condition=fields.get("condition"),
            after=fields.get("last_id", 0),
            set_synced=fields.get("set_synced", False),
            with_hash=fields.get("get_global_hash", False),
            registered_before_s=fields.get("agent_registration_delta"),
        )
        part = await self._store.groups(query)
        digest = part.hash if query.with_hash and not part.more else UNSET
        return (b"due " if part.more else b"ok ") + encode_groups(part.assignments, digest)

    async def _set_groups(self, argument: bytes) -> bytes:
        fields = msgspec.json.decode(argument, type=dict[str, Any])
        assignments = msgspec.convert(fields["data"], list[GroupAssignment])
        try:
            await self._store.set_groups(assignments, fields["mode"], fields.get("sync_status", "synced"))
        except RecordsRefused:
            return b"err An error occurred during the set of the groups"
        return b"ok"

    async def _recalculate(self, _: bytes) -> bytes:
        await self._store.recalculate_hashes()
        return b"ok"

    async def _sql(self, query: bytes) -> bytes:
        if query.startswith(b"update agent set sync_status='syncreq'"):
            self._pending.clear()
            await self._store.send_all_again()
            return b"ok []"
        if query.startswith(b"select id from agent where sync_status='syncreq'"):
            return b'ok [{"id":%d}]' % self._pending[0].id if self._pending else b"ok []"
        return b"err Cannot execute Global database query; near here: syntax error"
