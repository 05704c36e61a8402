"""Keeps what one worker says of its agents, and answers what became of it (specification 5.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import INFO, WARNING
from typing import Final

from outrider._native import AgentMessage
from outrider.errors import OutriderError, PeerError, RecordsRefused, StoreError, UnknownAgents
from outrider.exchange.session import Serve
from outrider.hooks import AgentInfoEvent
from outrider.kinds.interface import LinkGround, Talk
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.printable import counted
from outrider.protocol.agents import AGENT_INFO_SET, Result, SoundAgents, decode_sound_agents
from outrider.protocol.commands import AGENT_INFO, AGENT_INFO_ERROR, AGENT_INFO_PERMISSION, AGENT_INFO_RESULT, Command
from outrider.status import Outcome
from outrider.transport.answers import Reply
from outrider.working import Work

_NO_STRING: Final = b"error while trying to access string under task_id %a."
_NO_JSON: Final = "error while trying to load JSON: %s"
_NO_STORE: Final = "error processing agent-info chunks in process pool: %s"
_BATCH = 8
"""Chunks that go into the store at once, half a megabyte: fewer transactions, and no long one."""
_SHOWN = 500
"""Characters of an answer that go to our own log."""
_MOST_ERRORS = 100
"""Texts in one answer; each counts, but a worker learns no more from the thousandth."""


@dataclass(slots=True)
class _Tally:
    """Chunks: how many were looked at, how many kept, why others were not."""

    done: int = 0
    kept: int = 0
    errors: list[str] = field(default_factory=list)


class WorkerAgentInfo(Talk):
    """One worker's agent information, one message at a time."""

    def __init__(self, link: LinkGround) -> None:
        node = link.node
        self._session = link.session
        self._agents = node.agents
        self._heard = node.events.agent_info
        self._node = node.node.name
        self._ports = node.ports
        self._status = link.status
        self._supervisor = link.supervisor
        self._ground = node
        self._busy = False

    def serves(self) -> Mapping[Command, Serve]:
        """A worker's messages."""
        return {AGENT_INFO_PERMISSION: self.ask, AGENT_INFO: self.begin}

    @property
    def free(self) -> bool:
        """Whether no message is at work."""
        return not self._busy

    def ask(self, _: bytes) -> Reply:
        """``syn_a_w_m_p``: whether the worker may send."""
        return Reply(b"%a" % self.free)

    def begin(self, name: bytes) -> Reply:
        """``syn_a_w_m``: a message lies in the string ``name``."""
        text = self._session.strings.take(name)
        if text is None:
            work = self._answer(AGENT_INFO_ERROR, _NO_STRING % name)
        elif self._busy:
            work = self._answer(AGENT_INFO_ERROR, (_NO_STORE % "an earlier message is at work").encode())
        else:
            self._busy = True
            work = self._receive(text)
        self._supervisor.start(Tag.AGENT_INFO_SYNC, work)
        return Reply(name)

    async def _receive(self, text: bytes) -> None:
        with self._status.working() as work:
            await self._receive_all(text, work)

    async def _receive_all(self, text: bytes, work: Work) -> None:
        started = self._ports.monotonic()
        try:
            command, answer, kept = await self._keep(text, started)
        finally:
            self._busy = False
        # Without a pause before it: a worker that is permitted again has had this answer.
        await self._answer(command, answer)
        seconds = self._ports.monotonic() - started
        ok = command is AGENT_INFO_RESULT and b'"error_messages":[]' in answer
        self._log().log(INFO if ok else WARNING, "%s", answer[:_SHOWN].decode(errors="replace"))
        outcome = Outcome(
            ok=ok,
            started=self._ports.wall() - seconds,
            seconds=seconds,
            counts={"chunks": kept},
            cpu_seconds=work.cpu_seconds,
            bytes=len(text),
        )
        self._status.finished("agent_info", outcome)

    async def _answer(self, command: Command, text: bytes) -> None:
        try:
            await self._session.request(command, text)
        except OutriderError as error:
            self._log().warning("the worker did not take the answer: %s", error)

    async def _keep(self, text: bytes, started: float) -> tuple[Command, bytes, int]:
        """Keep what can be kept; then what to answer, and how many chunks were kept."""
        try:
            message = await self._ports.threads.run(AgentMessage, text)
        except PeerError as error:
            return AGENT_INFO_ERROR, (_NO_JSON % error).encode(), 0
        if message.command != AGENT_INFO_SET:
            return AGENT_INFO_ERROR, b"the command %a is not allowed here" % message.command[:64], 0
        tally = _Tally()
        limit_s = self._ground.settings.intervals.master.timeout_agent_info
        try:
            async with asyncio.timeout(limit_s):
                for first in range(0, len(message), _BATCH):
                    numbers = range(first, min(first + _BATCH, len(message)))
                    batch = []
                    for number in numbers:
                        batch.append(_read(message, number))
                        await asyncio.sleep(0)  # reading one chunk is a moment, eight bad ones are not
                    await self._keep_batch(batch, tally)
                    tally.done += len(numbers)
        except TimeoutError:
            left = len(message) - tally.done
            tally.errors.append(f"{left} of {counted(len(message), 'chunk')} not written in time, within {limit_s:g} s")
        except StoreError as error:
            return AGENT_INFO_ERROR, (_NO_STORE % error).encode(), tally.kept
        except Exception as error:  # noqa: BLE001  (a host's store may raise anything)
            self._log().exception("the store of agents failed")
            return AGENT_INFO_ERROR, (_NO_STORE % type(error).__name__).encode(), tally.kept
        seconds = self._ports.monotonic() - started
        return AGENT_INFO_RESULT, Result(tally.kept, tally.errors[:_MOST_ERRORS], seconds).encode(), tally.kept

    async def _keep_batch(self, batch: list[SoundAgents], tally: _Tally) -> None:
        """Several chunks at once; where the store refuses some of it, each by itself, so that one costs no other."""
        try:
            await self._agents.store_agents([agent for chunk in batch for agent in chunk.agents])
        except RecordsRefused as error:
            if len(batch) > 1:
                for chunk in batch:
                    await self._keep_batch([chunk], tally)
                return
            if not isinstance(error, UnknownAgents):  # which is neither kept nor an error (5.7)
                tally.errors.append(str(error))
            tally.errors += [chunk.fault for chunk in batch if chunk.fault]
            return
        for chunk in batch:
            if chunk.agents:
                its = AgentInfoEvent(peer=self._session.worker, agents=tuple(chunk.agents))
                self._heard.tell(its, len(chunk.agents))
        tally.kept += sum(not chunk.fault for chunk in batch)
        tally.errors += [chunk.fault for chunk in batch if chunk.fault]

    def _log(self) -> TaskLogger:
        return task_logger(Tag.AGENT_INFO_SYNC, self._node, peer=self._session.worker)


def _read(message: AgentMessage, number: int) -> SoundAgents:
    try:
        return decode_sound_agents(message.chunk(number))
    except PeerError as error:
        return SoundAgents([], str(error))
