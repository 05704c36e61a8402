"""What one worker is sent of groups, message after message, and what it says of them (specification 5.8).

A worker on the fast path has the files of a group before it hears of the group (threats 44).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from outrider.errors import OutriderError, Refusal
from outrider.exchange.session import Serve
from outrider.kinds.interface import LinkGround, Talk
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.agents import decode_result
from outrider.status import Outcome
from outrider.transport.answers import Reply
from outrider.working import Work

if TYPE_CHECKING:
    from outrider.master.agent_groups import AgentGroups

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
    generation: int = 0
    """The files that it needs are in this one; 0: it needs none."""
    patience: float = 0.0
    """Until then, on the monotonic clock, it waits for them."""


class _Cost(NamedTuple):
    """What a message cost: its bytes, and the work of sending it."""

    bytes: int
    work: Work


class WorkerGroups(Talk):
    """What one worker is sent, one message after another, and what it says of them."""

    def __init__(self, link: LinkGround, groups: AgentGroups) -> None:
        self._session = link.session
        self._groups = groups
        self._ground = link.node
        self._ports = link.node.ports
        self._status = link.status
        self._supervisor = link.supervisor
        self._queue: deque[Outgoing] = deque()
        self._sending = False
        self._wants_all = False
        self._sent: dict[c.Command, _Cost] = {}  # the last message of each sort

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
        """Send ``message`` after those that wait; a periodic one is left out if too many do.

        A worker that is slower catches up by asking for everything.
        """
        if not self._session.channel.is_open:
            return
        most = self._ground.settings.limits.groups_waiting
        if message.command is c.GROUPS and len(self._queue) >= most:
            self._status.limit_hit("limits.groups_waiting")
            waiting = f"{counted(most, 'message')} wait for this worker already (limits.groups_waiting)"
            self._log(c.GROUPS).warning("%s: one is left out", waiting)
            return
        self._queue.append(message)
        if not self._sending:
            self._sending = True
            self._supervisor.start(Tag.AGENT_GROUPS_SEND, self._send_queued())

    # the worker's commands

    def wants_all(self, _: bytes) -> Reply:
        """``syn_w_g_c``: the worker asks for everything; once more while it is on its way changes nothing."""
        self._groups.standings.settled(self._session)
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
                await self._files_for(self._queue[0])
                await self._send(self._queue[0])
                self._queue.popleft()
        finally:
            self._queue.clear()
            self._sending = self._wants_all = False

    async def _files_for(self, message: Outgoing) -> None:
        within_s = message.patience - self._ports.monotonic()
        if not await self._groups.standings.reached(self._session, message.generation, within_s):
            self._log(message.command).warning(
                "the worker does not stand at generation %d; what goes out nevertheless: %s",
                message.generation,
                counted(message.assignments, "assignment"),
            )

    async def _send(self, message: Outgoing) -> None:
        log = self._log(message.command)
        started = self._ports.monotonic()
        try:
            async with self._groups.turn():
                with self._status.working() as work:
                    name = await self._session.sender.string(message.text)
                    self._sent[message.command] = _Cost(len(message.text), work)
                    await self._session.request(message.command, name)
        except OutriderError as error:
            log.warning("%s not sent: %s", counted(message.assignments, "assignment"), error)
        else:
            seconds = self._ports.monotonic() - started
            what = counted(message.assignments, "assignment")
            log.debug("%s sent, %d bytes, in %.3f s", what, len(message.text), seconds)
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
            self._log(command).error("the worker names %s", counted(more, "more error"))
        detail = "; ".join(fault[:_LOGGED] for fault in faults_told[:_FAULTS_LOGGED])
        self._record(kind, result.time_spent, detail[:_LOGGED], result.updated_chunks, self._sent[command])
        return Reply(b"Thanks")

    def _failed(self, command: c.Command, kind: str, payload: bytes) -> Reply:
        text = payload.decode(errors="replace")[:_LOGGED]
        self._log(command).error("the worker did not write: %s", text)
        self._record(kind, 0.0, text, 0, self._sent.get(command))
        return Reply(b"Thanks")

    def _record(self, kind: str, seconds: float, detail: str, chunks: int, cost: _Cost | None) -> None:
        outcome = Outcome(
            ok=not detail,
            started=self._ports.wall() - seconds,
            seconds=seconds,
            counts={"chunks": chunks},
            detail=detail,
            cpu_seconds=cost.work.cpu_seconds if cost else 0.0,
            bytes=cost.bytes if cost else 0,
        )
        self._status.finished(kind, outcome)

    def _log(self, command: c.Command) -> TaskLogger:
        tag = Tag.AGENT_GROUPS_SEND if command is c.GROUPS else Tag.AGENT_GROUPS_SEND_FULL
        return task_logger(tag, self._ground.node.name, peer=self._session.worker)
