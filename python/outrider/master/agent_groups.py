"""Groups go out: what has changed to every worker at an interval, everything to one that asks (specification 5.8).

One read serves all workers. Reads follow one another, and each worker gets their messages in that
order, so that an older state never overwrites a newer one. A worker that is slow, or gone, holds
nobody up: what it misses shows in the checksum of every later message, and it asks for everything.
The same heals what this node lost when it ended between a read, which marks what it takes as sent,
and the sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET

from outrider.errors import OutriderError, Refusal, StoreError
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.agents import decode_result
from outrider.protocol.groups_message import GroupsWriter
from outrider.status import Outcome
from outrider.store.agents import GroupsQuery
from outrider.transport.channel import Reply

_CHANGES = GroupsQuery(condition="sync_status", set_synced=True, with_hash=True)
_EVERYTHING = GroupsQuery(condition="all")
_WAITING = 4
"""Periodic messages that wait for one worker; a slower one catches up by asking for everything."""
_AT_ONCE, _PATIENCE_S = 4, 2.0
"""So many sends share the event loop; one that takes longer goes on beside them, and the next begins."""
_NOT_SENT = "time data 'n/a' does not match format '%Y-%m-%dT%H:%M:%S.%fZ'"
"""The original's words for a result of groups that were never sent."""
_LOGGED = 1000
"""Characters of a peer's text that are kept."""
_FAULTS_LOGGED = 20
"""Errors of one answer that go to the log; the others are counted."""
_RESULT_BYTES = 1 << 20
"""Of a worker's answer; an honest one is far smaller."""


class Outgoing(NamedTuple):
    """A message on its way: what refers to its string, its text, and how many assignments it holds."""

    command: c.Command
    text: bytes
    assignments: int


class AgentGroups(Half["WorkerGroups"]):
    """The groups of this node: reads them for everybody, and spreads the sends."""

    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        times = ground.settings.intervals.master
        self._agents = ground.agents
        self._ports = ground.ports
        self._delay_s = times.agent_group_start_delay
        self._interval_s = times.sync_agent_groups
        self._log = task_logger(Tag.AGENT_GROUPS_SEND, ground.node.name)
        self._full_log = task_logger(Tag.AGENT_GROUPS_SEND_FULL, ground.node.name)
        self._reading = asyncio.Lock()
        self._askers: dict[WorkerGroups, None] = {}  # in the order in which they asked
        self._free = asyncio.Semaphore(_AT_ONCE)

    def talk(self, link: LinkGround) -> WorkerGroups:
        """The groups of one worker."""
        return WorkerGroups(link, self)

    def tasks(self) -> Sequence[Task]:
        """Rounds."""
        return [(Tag.AGENT_GROUPS_SEND, self.run)]

    async def run(self) -> None:
        """Send what has changed, and the hash, to all workers at the interval; also if nothing has."""
        await self._ports.sleep(self._delay_s)
        while True:
            if self.talks:
                async with self._reading:
                    message = await self._changes()
                    for worker in self.talks.values():
                        if message is not None:
                            worker.put(message)
            await self._ports.sleep(self._interval_s)

    async def everything_for(self, worker: WorkerGroups) -> None:
        """Queue all groups for ``worker``. Those who ask before the read is over share it."""
        self._askers[worker] = None
        try:
            async with self._reading:
                if worker in self._askers:
                    await self._everything()
        finally:
            self._askers.pop(worker, None)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to send; it passes on after a while, so that slow sends hold up no quick ones."""
        await self._free.acquire()
        passing = asyncio.get_running_loop().call_later(_PATIENCE_S, self._free.release)
        try:
            yield
        finally:
            if not passing.cancelled() and passing.when() > asyncio.get_running_loop().time():
                passing.cancel()
                self._free.release()

    async def _changes(self) -> Outgoing | None:
        """What has changed. If the store fails midway, what it gave is sent without a hash: it counts as sent."""
        writer = GroupsWriter()
        try:
            digest = await self._read(_CHANGES, writer)
        except Exception as error:  # noqa: BLE001  (a host's store may raise anything; the next round comes)
            self._log.warning("the changed groups could not be read: %s", error or type(error).__name__)
            return Outgoing(c.GROUPS, writer.finish(UNSET), writer.assignments) if writer.assignments else None
        return Outgoing(c.GROUPS, writer.finish(digest), writer.assignments)

    async def _everything(self) -> None:
        """Read all groups for all who have asked by the end of it."""
        writer = GroupsWriter()
        try:
            await self._agents.recalculate_hashes()
            await self._read(_EVERYTHING, writer)
        except Exception as error:  # noqa: BLE001  (as above)
            writer = GroupsWriter()
            reason = error or type(error).__name__
            self._full_log.warning("the groups could not be read; whoever still needs them asks again: %s", reason)
        askers = list(self._askers)
        self._askers.clear()
        if writer.assignments:
            message = Outgoing(c.FULL_GROUPS, writer.finish(), writer.assignments)
            for worker in askers:
                worker.put(message)

    async def _read(self, query: GroupsQuery, writer: GroupsWriter) -> str | None:
        """All parts of an answer; the hash of the last."""
        while True:
            part = await self._agents.groups(query)
            writer.add(part.assignments)
            if not part.more:
                return part.hash
            if not part.assignments:
                raise StoreError("the store says again and again that there are more groups, and gives none")
            query = query._replace(after=part.assignments[-1].id)


class WorkerGroups(Talk):
    """What one worker is sent, one message after another, and what it says of them."""

    def __init__(self, link: LinkGround, groups: AgentGroups) -> None:
        self._session = link.session
        self._groups = groups
        self._node = link.node.node.name
        self._ports = link.node.ports
        self._status = link.status
        self._supervisor = link.supervisor
        self._queue: deque[Outgoing] = deque()
        self._sending = False
        self._wants_all = False
        self._sent: set[c.Command] = set()

    def serves(self) -> Mapping[c.Command, Serve]:
        """What became of messages, and a wish for everything."""
        return {
            c.FULL_GROUPS_REQUEST: self.wants_all,
            c.GROUPS_RESULT: self.written,
            c.FULL_GROUPS_RESULT: self.all_written,
            c.GROUPS_ERROR: self.not_written,
            c.FULL_GROUPS_ERROR: self.all_not_written,
        }

    def put(self, message: Outgoing) -> None:
        """Send ``message`` after those that wait; a periodic one is left out if too many do."""
        if not self._session.channel.is_open:
            return
        if message.command is c.GROUPS and len(self._queue) >= _WAITING:
            self._status.count("agent_groups_left_out")
            self._log(c.GROUPS).warning("%d messages wait for this worker already: one is left out", _WAITING)
            return
        self._queue.append(message)
        if not self._sending:
            self._sending = True
            self._supervisor.start(Tag.AGENT_GROUPS_SEND, self._send_queued())

    # the worker's commands

    def wants_all(self, _: bytes) -> Reply:
        """``syn_w_g_c``: the worker asks for everything; once more while it is on its way changes nothing."""
        if not self._wants_all:
            self._wants_all = True
            self._log(c.FULL_GROUPS).info("the worker asks for all groups")
            self._supervisor.start(Tag.AGENT_GROUPS_SEND_FULL, self._everything())
        return Reply(b"Thanks")

    def written(self, payload: bytes) -> Reply:
        """``syn_w_g_e``: what became of a periodic message."""
        return self._result(c.GROUPS, "agent_groups", payload)

    def all_written(self, payload: bytes) -> Reply:
        """``syn_wgc_e``: what became of the whole."""
        return self._result(c.FULL_GROUPS, "agent_groups_full", payload)

    def not_written(self, payload: bytes) -> Reply:
        """``syn_w_g_err``: a periodic message was no use."""
        return self._failed(c.GROUPS, "agent_groups", payload)

    def all_not_written(self, payload: bytes) -> Reply:
        """``syn_wgc_err``: the whole was no use."""
        return self._failed(c.FULL_GROUPS, "agent_groups_full", payload)

    # between the two

    async def _everything(self) -> None:
        try:
            await self._groups.everything_for(self)
        finally:
            self._wants_all = any(message.command is c.FULL_GROUPS for message in self._queue)

    async def _send_queued(self) -> None:
        try:
            while self._queue:
                await self._send(self._queue[0])
                self._queue.popleft()
        finally:
            self._queue.clear()
            self._sending = self._wants_all = False

    async def _send(self, message: Outgoing) -> None:
        log = self._log(message.command)
        started = self._ports.monotonic()
        try:
            async with self._groups.turn():
                name = await self._session.sender.string(message.text)
                self._sent.add(message.command)
                await self._session.request(message.command, name)
        except OutriderError as error:
            log.warning("%d assignments were not sent: %s", message.assignments, error)
        else:
            seconds = self._ports.monotonic() - started
            log.debug("%d assignments sent, %d bytes, in %.3f s", message.assignments, len(message.text), seconds)
        if message.command is c.FULL_GROUPS:
            self._wants_all = False

    def _result(self, command: c.Command, kind: str, payload: bytes) -> Reply:
        if command not in self._sent:
            raise Refusal(faults.INTERNAL, _NOT_SENT)
        if len(payload) > _RESULT_BYTES:
            raise Refusal(faults.INTERNAL, f"an answer of {len(payload)} bytes; {_RESULT_BYTES} are the most")
        result = decode_result(payload)
        faults_told = result.error_messages
        for fault in faults_told[:_FAULTS_LOGGED]:
            self._log(command).error("the worker did not write: %s", fault[:_LOGGED])
        if (more := len(faults_told) - _FAULTS_LOGGED) > 0:
            self._log(command).error("the worker names %d errors more", more)
        detail = "; ".join(fault[:_LOGGED] for fault in faults_told[:_FAULTS_LOGGED])
        self._record(kind, result.time_spent, detail[:_LOGGED], result.updated_chunks)
        return Reply(b"Thanks")

    def _failed(self, command: c.Command, kind: str, payload: bytes) -> Reply:
        text = payload.decode(errors="replace")[:_LOGGED]
        self._log(command).error("the worker did not write: %s", text)
        self._record(kind, 0.0, text, 0)
        return Reply(b"Thanks")

    def _record(self, kind: str, seconds: float, detail: str, chunks: int) -> None:
        started = self._ports.wall() - seconds
        outcome = Outcome(ok=not detail, started=started, seconds=seconds, counts={"chunks": chunks}, detail=detail)
        self._status.finished(kind, outcome)

    def _log(self, command: c.Command) -> TaskLogger:
        tag = Tag.AGENT_GROUPS_SEND if command is c.GROUPS else Tag.AGENT_GROUPS_SEND_FULL
        return task_logger(tag, self._node, peer=self._session.worker)
