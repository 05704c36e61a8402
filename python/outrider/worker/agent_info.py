"""Sends what changed on this node's agents to the master, and again until it is confirmed (specification 5.7).

What was read lies in the outbox before the store counts it as taken, and leaves it by an answer that confirms
every chunk (7.3, row 16). On the wire this is what 4.9.2 does; only the messages have a bounded size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from outrider.codes import Code
from outrider.errors import SyncError
from outrider.exchange.session import Serve
from outrider.hooks import AgentInfoEvent
from outrider.kinds.interface import MASTER, Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.printable import counted
from outrider.protocol.agents import (
    AGENT_INFO_SET,
    CHUNK_BYTES,
    decode_result,
    decode_sound_agents,
    encode_lines,
    encode_message,
)
from outrider.protocol.commands import AGENT_INFO, AGENT_INFO_ERROR, AGENT_INFO_PERMISSION, AGENT_INFO_RESULT, Command
from outrider.protocol.results import parse
from outrider.status import Outcome
from outrider.store.outbox import Chunk, Outbox, PutAside, outbox_of
from outrider.supervise import rest
from outrider.sync.agent_info import Pace, Step, Verdict, cut, judge, judge_failure, records_of
from outrider.transport.answers import Reply
from outrider.trying import Tries
from outrider.working import Work

MESSAGE_CHUNKS: Final = 64
"""Chunks of one message, some 4 MB: what is held of it in memory, and what is sent again if it fails."""
_SETBACKS = 64
"""Messages of a round that may fail before it ends: a master that refuses everything gets a pause."""
_RESULT_BYTES = 1 << 20
"""Of a master's answer; what it says of 64 chunks is far smaller."""
_SHOWN = 200
"""Characters of a master's words that go to the log."""


class _Answer(NamedTuple):
    verdict: Verdict
    why: str = ""


class AgentInfo(Half["AgentInfoSync"]):
    """The agent information of this node: its outbox outlives connections."""

    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        self._ground = ground
        self._outbox: Outbox | None = None
        self._open = AsyncExitStack()
        self.waiting = 0  # chunks that lay in the outbox when it was last looked at
        ground.status.gauge("outbox_chunks", lambda: self.waiting)

    async def start(self) -> None:
        """Open the outbox."""
        ground = self._ground
        home = ground.settings.node.home.resolve()
        self._outbox = outbox = await self._open.enter_async_context(outbox_of(home, ground.ports.threads))
        if outbox.damaged:
            log = task_logger(Tag.AGENT_INFO_SYNC, ground.node.name)
            log.warning("the outbox could not be read and is now %s; all agents are sent again", outbox.damaged)

    def talk(self, link: LinkGround) -> AgentInfoSync:
        """The agent information of one connection."""
        assert self._outbox is not None  # noqa: S101  (no connection opens before the start)
        return AgentInfoSync(self, link, self._outbox)

    async def close(self) -> None:
        """Close the outbox; this is an orderly end."""
        await self._open.aclose()


class AgentInfoSync(Talk):
    """The agent information of one connection to a master."""

    def __init__(self, half: AgentInfo, link: LinkGround, outbox: Outbox) -> None:
        self._half = half
        node, ports = link.node, link.node.ports
        self._session = link.session
        self._agents = node.agents
        self._heard = node.events.agent_info
        self._outbox = outbox
        self._ports = ports
        self._status = link.status
        self._log = task_logger(Tag.AGENT_INFO_SYNC, node.node.name, peer=lambda: link.session.channel.address)
        self._ground = node
        self._pace = Pace(MESSAGE_CHUNKS)
        self._answer: asyncio.Future[_Answer] | None = None
        self._under_way = 0  # chunks of the message that waits for its answer
        self._more = True
        self._bytes = 0  # of the messages of this round

    def serves(self) -> Mapping[Command, Serve]:
        """What became of a message."""
        return {AGENT_INFO_RESULT: self.result, AGENT_INFO_ERROR: self.failed}

    def tasks(self) -> Sequence[Task]:
        """Rounds."""
        return [(Tag.AGENT_INFO_SYNC, self.run)]

    async def run(self) -> None:
        """One round at each interval, until cancelled; after one that failed the next comes by chance."""
        await self._rest()
        log, status = self._log, self._status
        with Tries(Tag.AGENT_INFO_SYNC, self._ports, log, status, base_s=1, cap_s=self._longest_pause) as tries:
            while True:
                try:
                    with self._status.working() as work:
                        await self._round(work)
                except Exception as error:  # noqa: BLE001  (a host's store may raise anything)
                    tries.failed(error)
                    await tries.pause()
                else:
                    tries.worked()
                    await self._rest()

    async def _rest(self) -> None:
        await rest(self._ports, self._ground.live, lambda settings: settings.intervals.worker.sync_agent_info)

    def _longest_pause(self) -> float:
        return max(60, self._ground.settings.intervals.worker.sync_agent_info)

    @property
    def _answer_s(self) -> float:
        """The master's own limit, and as long again for the answer as for any other."""
        times = self._ground.settings.intervals
        return times.master.timeout_agent_info + times.communication.timeout_cluster_request

    # the master's commands

    def result(self, payload: bytes) -> Reply:
        """``syn_m_a_e``: what became of the message under way."""
        if len(payload) > _RESULT_BYTES:
            raise ValueError(f"a result of {len(payload)} bytes is over the limit of {_RESULT_BYTES}")
        try:
            result = decode_result(payload)
        except ValueError:
            parse(payload)  # what is no JSON at all is refused in the original's words
            self._conclude(_Answer(Verdict.LATER, "its answer cannot be read"))
            return Reply(b"Thanks")
        errors = result.error_messages
        why = (
            "; ".join(errors[:3])[:_SHOWN]
            or f"it kept {counted(result.updated_chunks, 'chunk')} and does not say why not all"
        )
        sent = self._under_way
        self._conclude(_Answer(judge(sent, result.updated_chunks, errors), why))
        return Reply(b"Thanks")

    def failed(self, payload: bytes) -> Reply:
        """``syn_m_a_err``: the master could do nothing with the message."""
        text = payload.decode(errors="replace")[:_SHOWN]
        self._conclude(_Answer(judge_failure(text), text))
        return Reply(b"Thanks")

    def _conclude(self, answer: _Answer) -> None:
        if self._answer is None or self._answer.done():
            self._log.debug("an answer to no message: %s", answer.why)
        else:
            self._answer.set_result(answer)

    # a round

    async def _round(self, work: Work) -> None:
        """Send until nothing is left; :class:`SyncError` if something must wait."""
        started = self._ports.monotonic()
        self._bytes = 0
        kept = setbacks = 0
        allowed = await self._permitted()
        if allowed:
            await self._read_anew()
        while allowed and (message := await self._outbox.oldest(self._pace.chunks)):
            step, answer = await self._exchange(message)
            kept += len(message) if step is Step.CONFIRM else 0
            setbacks += step is not Step.CONFIRM
            if step is Step.WAIT or setbacks == _SETBACKS:
                self._record(started, kept, work, ok=False)
                raise SyncError(f"the master did not keep {counted(len(message), 'chunk')}: {answer.why}").coded(
                    Code.CHUNKS_NOT_KEPT
                )
            await self._fill(self._pace.chunks)
            allowed = bool(await self._waiting()) and await self._permitted()
        if kept:
            self._record(started, kept, work, ok=True)

    async def _permitted(self) -> bool:
        answer = await self._session.request(AGENT_INFO_PERMISSION)
        self._log.debug("permission: %s", answer.decode(errors="replace"))
        return answer == b"True"

    async def _read_anew(self) -> None:
        if self._outbox.all_again:
            await self._agents.send_all_again()
            self._outbox.all_again = False
        self._more = True
        await self._fill(self._pace.chunks)

    async def _fill(self, chunks: int) -> None:
        """Read until so many chunks wait or nothing more has changed."""
        while self._more and await self._waiting() < chunks:
            self._more = await self._outbox.bring(self._bring_part)

    async def _waiting(self) -> int:
        """Chunks in the outbox."""
        self._half.waiting = await self._outbox.count()
        return self._half.waiting

    async def _bring_part(self) -> bool:
        """From the store to the outbox; whether there is more. What the store counts as taken is safe by then."""
        part = await self._agents.changed_agents()
        if not part.agents:
            return part.more
        found = await self._ports.threads.run(lambda: cut(encode_lines(part.agents), CHUNK_BYTES))
        if found.too_large:
            await self._put_aside(found.too_large, f"it is larger than a chunk of {CHUNK_BYTES} bytes")
        await self._outbox.put(found.chunks)
        await self._agents.taken(part.agents)
        return part.more

    async def _exchange(self, message: list[Chunk]) -> tuple[Step, _Answer]:
        """Send a message, and read the next while the master works on it."""
        reading = asyncio.ensure_future(self._fill(2 * MESSAGE_CHUNKS))
        try:
            answer = await self._send(message)
            step = await self._settle(message, answer)
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return step, answer

    async def _send(self, message: list[Chunk]) -> _Answer:
        text = await self._ports.threads.run(encode_message, AGENT_INFO_SET, {}, [chunk.text for chunk in message])
        self._bytes += len(text)
        name = await self._session.sender.string(text)
        # Permission was given after an earlier message had been answered or given up: what comes now is of this one.
        self._under_way = len(message)
        self._answer = asyncio.get_running_loop().create_future()
        answer_s = self._answer_s
        try:
            await self._session.request(AGENT_INFO, name)
            async with asyncio.timeout(answer_s):
                return await self._answer
        except TimeoutError:
            return _Answer(Verdict.SLOW, f"no answer within {answer_s:g} s")
        finally:
            self._answer = None

    async def _settle(self, message: list[Chunk], answer: _Answer) -> Step:
        """Do what the answer asks for."""
        records = records_of(message[0].text) if len(message) == 1 else []
        step = self._pace.learn(answer.verdict, len(message), len(records))
        match step:
            case Step.CONFIRM:
                await self._outbox.confirmed(message)
                await self._tell(message)
            case Step.SPLIT:
                await self._outbox.split(message[0])
            case Step.PUT_ASIDE:
                await self._put_aside(records, answer.why, message[0])
            case Step.WAIT:
                pass  # the round ends, and says why
        return step

    async def _tell(self, message: list[Chunk]) -> None:
        """The host hears of what the master keeps."""
        if not self._heard.heard:
            return
        for chunk in message:
            read = await self._ports.threads.run(decode_sound_agents, chunk.text)
            self._heard.tell(AgentInfoEvent(peer=MASTER, agents=tuple(read.agents)), len(read.agents))

    async def _put_aside(self, records: list[bytes], why: str, chunk: Chunk | None = None) -> None:
        at = self._ports.wall()
        await self._outbox.put_aside([PutAside(record, why, at) for record in records], chunk)
        self._status.count("agents_put_aside", len(records))
        for record in records:
            self._log.error("put aside, it cannot be sent: %s: %s", record[:_SHOWN].decode(errors="replace"), why)

    def _record(self, started: float, kept: int, work: Work, *, ok: bool) -> None:
        seconds = self._ports.monotonic() - started
        others = "" if ok else "; others wait"
        self._log.info("the master keeps %s, after %.3f s%s", counted(kept, "chunk"), seconds, others)
        outcome = Outcome(
            ok=ok,
            started=self._ports.wall() - seconds,
            seconds=seconds,
            counts={"chunks": kept},
            cpu_seconds=work.cpu_seconds,
            bytes=self._bytes,
        )
        self._status.finished("agent_info", outcome)
