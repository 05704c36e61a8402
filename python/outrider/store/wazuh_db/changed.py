"""Reading the agents that changed from wazuh-db (specification 6.3), so that none is lost on its way to us.

wazuh-db marks agents as sent in the moment in which it hands them out, and keeps one position for all
who read. So one of us reads at a time, what was read for a caller that went away waits for the next
one, and after an answer that never came in full every agent counts as changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from outrider.codes import Code
from outrider.errors import RecordsRefused, StoreError
from outrider.logs import TaskLogger
from outrider.model import AgentInfo
from outrider.protocol.agents import decode_agents
from outrider.store.agents import AgentsPart
from outrider.store.wazuh_db.client import READ_AGENTS, Client, NotSentError
from outrider.store.wazuh_db.replies import Reply

SEND_ALL_AGAIN = (
    b"global sql update agent set sync_status='syncreq' where id > 0 and connection_status is not 'never_connected'"
)
"""Of the agents that report to other workers a daemon knows that they exist, from ``client.keys``, and no more: sent to
the master, that would replace what their own worker says."""
_NEXT_ID = "global sql select id from agent where sync_status='syncreq' and id > {} order by id limit 1"

_PATIENCE_S = 5
"""How long the end of a store waits for each of its last two answers."""


class _Id(msgspec.Struct):
    id: int


_raw_rows = msgspec.json.Decoder(list[msgspec.Raw])
_ids = msgspec.json.Decoder(list[_Id])


class ChangedAgents:
    """See the module."""

    def __init__(self, client: Client, log: TaskLogger) -> None:
        self._client = client
        self._log = log
        self._turn = asyncio.Lock()
        self._reading: asyncio.Task[AgentsPart] | None = None
        self._after = 0
        self._too_large: set[int] = set()
        self._in_doubt = False

    async def next_part(self) -> AgentsPart:
        """The next part; the agents in it are the caller's from now on."""
        async with self._turn:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            try:
                part = await asyncio.shield(self._reading)
            except asyncio.CancelledError:
                raise  # the reading goes on, and its part is the next caller's
            except BaseException:
                self._reading = None
                raise
            self._reading = None
            return part

    async def send_all_again(self) -> None:
        """Count every agent as changed."""
        await self._client.ask(SEND_ALL_AGAIN)
        self._in_doubt = False

    async def close(self) -> None:
        """Give back what nobody took; if that fails, say so. A daemon that hangs holds up no node's end."""
        if self._reading is not None and await self._nobody_took(self._reading):
            self._in_doubt = True
        if not self._in_doubt:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.send_all_again()
        except (StoreError, TimeoutError) as error:
            reason = error if isinstance(error, StoreError) else f"no answer within {_PATIENCE_S} s"
            self._log.warning("agents that wazuh-db handed out could not be given back: %s", reason)

    async def _nobody_took(self, reading: asyncio.Task[AgentsPart]) -> bool:
        """Whether a reading whose caller went away came to agents, or may have."""
        await asyncio.wait([reading], timeout=_PATIENCE_S)
        if not reading.done():
            reading.cancel()
            return True
        return reading.exception() is None and bool(reading.result().agents)

    async def _read(self) -> AgentsPart:
        if self._in_doubt:
            await self.send_all_again()
        reply = await self._read_on()
        agents = list(self._agents(reply.payload))
        more = reply.status == "due"
        self._after = agents[-1].id if more and agents else 0
        return AgentsPart(agents, more)

    async def _read_on(self) -> Reply:
        """An answer with agents in it, or the last one; agents that can never be handed out are passed over."""
        reply = await self._ask(b"{}")
        while _is_stuck(reply):
            # Where wazuh-db stands is certain only once we have told it.
            reply = await self._ask(b"last_id %d" % self._after)
            if _is_stuck(reply):
                self._after = await self._pass_over()
                reply = await self._ask(b"last_id %d" % self._after)
        return reply

    async def _ask(self, position: bytes) -> Reply:
        try:
            return await self._client.ask(READ_AGENTS + position)
        except NotSentError:
            raise
        except StoreError:
            self._in_doubt = True
            raise

    async def _pass_over(self) -> int:
        """The id of the agent that does not fit."""
        try:
            ids = _ids.decode((await self._client.ask(_NEXT_ID.format(self._after).encode())).payload)
        except (RecordsRefused, ValueError):
            ids = []
        if not ids or ids[0].id <= self._after:
            raise StoreError(
                f"wazuh-db hands out nothing and says that there is more: the information of an agent above "
                f"{self._after} alone is larger than one answer; shorten that agent's labels"
            ).coded(Code.LARGER_THAN_AN_ANSWER)
        agent = ids[0].id
        if agent not in self._too_large:
            self._too_large.add(agent)
            self._log.warning(
                "agent %d is not sent: its information alone is larger than an answer of wazuh-db; shorten its labels",
                agent,
            )
        return agent

    def _agents(self, payload: bytes) -> Iterator[AgentInfo]:
        """The agents of an answer; it is not worth losing the others for one that cannot be read."""
        try:
            yield from decode_agents(payload)
        except ValueError:
            yield from self._agents_one_by_one(payload)

    def _agents_one_by_one(self, payload: bytes) -> Iterator[AgentInfo]:
        try:
            rows = _raw_rows.decode(payload.decode(errors="replace"))
        except ValueError as error:
            self._in_doubt = True
            raise StoreError(f"wazuh-db's answer is no list of agents: {error}").coded(Code.STRANGE_WAZUH_DB) from error
        for row in rows:
            try:
                yield from decode_agents(b"[%b]" % bytes(row))
            except ValueError as error:
                self._log.warning("an agent of wazuh-db is not sent: %s: %.200s", error, bytes(row).decode())


def _is_stuck(reply: Reply) -> bool:
    """The next agent alone is larger than an answer may be; wazuh-db would say this for ever."""
    return reply.status == "due" and reply.payload == b"[]"
