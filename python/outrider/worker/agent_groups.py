"""Groups that the master sends: written into the store, answered, compared (specification 5.8).

Groups are only names in the store: an assignment is no error because the group's files are not here
yet (threats 44). Of what a message holds only the assignments are used: that they replace what an
agent had, and that the master knows of them already, is fixed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from msgspec import UNSET

from outrider.errors import OutriderError, Refusal, StoreBusyError, StoreError, TransportError
from outrider.exchange.session import Serve
from outrider.kinds.interface import LinkGround, Talk
from outrider.logs import Tag, task_logger
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.agents import Result
from outrider.protocol.groups_message import GroupsHash
from outrider.status import Outcome
from outrider.store.agents import GroupsQuery
from outrider.sync.agent_groups import Agreement, Mismatches, OnlyHere, only_here
from outrider.transport.answers import Reply
from outrider.trying import Tries
from outrider.worker.groups_writing import UnwrittenError, Written, read_message, write_message


class AgentGroups(Talk):
    """The groups of one session: one message at a time, in the order in which they came."""

    def __init__(self, link: LinkGround) -> None:
        node = link.node
        self.session = link.session
        self.agents = node.agents
        self.heard = node.events.groups
        self.ports = node.ports
        self.status = link.status
        self.node = node.node.name
        self.mismatches = Mismatches(lambda: node.settings.intervals.worker.agent_groups_mismatch_limit)
        self.masters_hash: GroupsHash = UNSET
        self.alarmed = False
        self.turn = asyncio.Lock()
        self._ground = node
        self._waiting = 0
        self._supervisor = link.supervisor
        log = task_logger(Tag.AGENT_GROUPS_RECV, self.node, peer=lambda: link.session.channel.address)
        self._hashing = Tries(
            "the checksum of groups", self.ports, log, self.status, base_s=1, cap_s=lambda: self.limit_s
        )

    @property
    def limit_s(self) -> float:
        """How long a message may take to be stored."""
        return self._ground.settings.intervals.worker.timeout_agent_groups

    def serves(self) -> Mapping[c.Command, Serve]:
        """Messages of groups."""
        return {c.GROUPS: self.receive, c.FULL_GROUPS: self.receive_all}

    def receive(self, name: bytes) -> Reply:
        """``syn_g_m_w``: a string holds what has changed, and the hash over everything."""
        return self._start(ReceiveAgentGroupsTask(self, name))

    def receive_all(self, name: bytes) -> Reply:
        """``syn_g_m_w_c``: a string holds every assignment."""
        return self._start(ReceiveEntireAgentGroupsTask(self, name))

    def cured(self) -> None:
        """The groups are the master's: nobody need look any more."""
        self.alarmed = False
        self.status.note("agent groups", None)

    def lost(self, reason: str) -> None:
        """Nobody asks for a checksum any more."""
        del reason
        self._hashing.forget()

    async def own_hash(self) -> GroupsHash:
        """The hash over all groups of this node; ``UNSET`` if it cannot be had."""
        limit_s = self.limit_s
        try:
            async with asyncio.timeout(limit_s):
                digest = (await self.agents.groups(GroupsQuery(with_hash=True))).hash
        except StoreError as error:
            self._hashing.failed(error, asked=True)
        except TimeoutError:
            slow = StoreBusyError(f"not within {limit_s:g} s (intervals.worker.timeout_agent_groups)")
            self._hashing.failed(slow, asked=True)
        else:
            self._hashing.worked()
            return digest
        return UNSET

    def _start(self, task: _Receive) -> Reply:
        if self._waiting >= (most := self._ground.settings.limits.tasks):
            self.status.limit_hit("limits.tasks")
            raise Refusal(faults.INTERNAL, f"{counted(most, 'message')} of groups waiting already (limits.tasks)")
        self._waiting += 1
        self._supervisor.start(task.tag, self._in_turn(task))
        return Reply(task.name)

    async def _in_turn(self, task: _Receive) -> None:
        try:
            async with self.turn:
                await task.run()
        finally:
            self._waiting -= 1


class _Receive:
    """What both kinds of messages have in common: write, answer, then settle what it means for the whole."""

    tag: ClassVar[Tag]
    kind: ClassVar[str]
    done: ClassVar[c.Command]
    failed: ClassVar[c.Command]

    def __init__(self, groups: AgentGroups, name: bytes) -> None:
        self.name = name
        self._groups = groups
        peer, task = groups.session.channel.address, name.decode(errors="replace")
        self._log = task_logger(self.tag, groups.node, peer=peer, task=task)
        self._bytes = 0

    async def run(self) -> None:
        """The whole life of the task, when its turn has come; no error of the store or the link leaves it."""
        with self._groups.status.working() as self._work:
            await self._run()

    async def _run(self) -> None:
        now = self._groups.ports.monotonic
        started = now()
        try:
            text = self._groups.session.strings.take(self.name)
            self._bytes = len(text or b"")
            message = await self._groups.ports.threads.run(read_message, text, self.name)
            written = await write_message(message, self._groups.agents, self._groups.heard, self._groups.limit_s, now)
        except UnwrittenError as error:
            self._log.error("not written: %s", error)
            await self._answer(self.failed, str(error).encode())
            self._record(now() - started, Result(0, [str(error)], 0))
            return
        except Exception as error:
            await self._answer(self.failed, f"error processing agent-groups chunks: {type(error).__name__}".encode())
            raise
        for fault in written.result.error_messages:
            self._log.error("not written: %s", fault)
        await self._answer(self.done, written.result.encode())
        await self._settle(written)
        self._record(now() - started, written.result)

    async def _settle(self, written: Written) -> None:
        raise NotImplementedError

    async def _answer(self, command: c.Command, payload: bytes) -> None:
        try:
            await self._groups.session.request(command, payload)
        except OutriderError as untold:
            self._log.debug("%s: %s", command, untold)

    def _record(self, seconds: float, result: Result) -> None:
        self._log.debug("%s written in %.3f s", counted(result.updated_chunks, "chunk"), seconds)
        outcome = Outcome(
            ok=not result.error_messages,
            started=self._groups.ports.wall() - seconds,
            seconds=seconds,
            counts={"chunks": result.updated_chunks},
            detail="; ".join(result.error_messages)[:1000],
            cpu_seconds=self._work.cpu_seconds,
            bytes=self._bytes,
        )
        self._groups.status.finished(self.kind, outcome)


class ReceiveAgentGroupsTask(_Receive):
    """A periodic message: what has changed, and a hash that shows whether everything before has come, too."""

    tag = Tag.AGENT_GROUPS_RECV
    kind = "agent_groups"
    done = c.GROUPS_RESULT
    failed = c.GROUPS_ERROR

    async def _settle(self, written: Written) -> None:
        if written.hash is UNSET:
            return
        groups = self._groups
        groups.masters_hash = written.hash
        ours = await groups.own_hash()
        counter = groups.mismatches
        agreement = counter.different() if ours is UNSET else counter.compare(written.hash, ours)
        if agreement is Agreement.EQUAL:
            groups.cured()
        elif agreement is Agreement.ASK:
            await self._ask()
        self._log.debug("checksum: %s", agreement.value)

    async def _ask(self) -> None:
        """Ask for everything; the answer comes as a message of its own."""
        mismatches = self._groups.mismatches
        if mismatches.in_vain > 1:
            self._log.warning(
                "asking for all groups again; times it did not help: %d; mismatches until the next time: %d",
                mismatches.in_vain - 1,
                mismatches.needed,
            )
        else:
            self._log.info("the checksum differs from the master's again and again: asking for all groups")
        try:
            await self._groups.session.request(c.FULL_GROUPS_REQUEST)
        except TransportError as error:
            mismatches.unasked()
            self._log.warning("the master did not hear it: %s", error)
        except OutriderError as error:
            self._log.warning("the master sends none: %s", error)


class ReceiveEntireAgentGroupsTask(_Receive):
    """Every assignment of the master, which must put an end to the mismatches."""

    tag = Tag.AGENT_GROUPS_RECV_FULL
    kind = "agent_groups_full"
    done = c.FULL_GROUPS_RESULT
    failed = c.FULL_GROUPS_ERROR

    async def _settle(self, written: Written) -> None:
        groups = self._groups
        try:
            await groups.agents.recalculate_hashes()
        except StoreError as error:
            self._log.warning("the groups' hashes could not be computed again: %s", error)
        ours = await groups.own_hash()
        if groups.masters_hash is UNSET or ours is UNSET:
            return
        if ours == groups.masters_hash:
            groups.mismatches.healed()
            groups.cured()
            self._log.info("all groups are those of the master now")
        elif not groups.alarmed:
            groups.alarmed = True
            await self._alarm(written.ids)

    async def _alarm(self, theirs: frozenset[int] | None) -> None:
        """Say once what no full synchronisation will cure (threats 43)."""
        self._groups.status.count("agent_groups_not_cured")
        alone = await self._only_here(theirs) if theirs is not None else None
        why = f"agents with groups that only this node has: {alone}" if alone and alone.agents else "no reason is known"
        differs = f"all groups came, and the checksum still differs from the master's last one: {why}"
        self._groups.status.note("agent groups", differs)
        self._log.error(
            "%s; mismatches until all groups are asked for again: %d, then ever more",
            differs,
            self._groups.mismatches.needed,
        )

    async def _only_here(self, theirs: frozenset[int]) -> OnlyHere | None:
        alone, after = OnlyHere(0, ()), 0
        try:
            while True:
                part = await self._groups.agents.groups(GroupsQuery(condition="all", after=after))
                alone = only_here(part.assignments, theirs, alone)
                if not part.more or not part.assignments:
                    return alone
                after = part.assignments[-1].id
        except StoreError as error:
            self._log.warning("this node's groups could not be read: %s", error)
            return None
