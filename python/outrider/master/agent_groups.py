"""Groups go out: what has changed to every worker, at once and at an interval; everything to one that asks (5.8).

One read serves all workers. Reads follow one another, and each worker gets their messages in that
order, so that an older state never overwrites a newer one. A worker that is slow, or gone, holds
nobody up: what it misses shows in the checksum of every later message, and it asks for everything.
The same heals what this node lost when it ended between a read, which marks what it takes as sent,
and the sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec import UNSET

from outrider.errors import StoreError
from outrider.hooks import GroupsEvent
from outrider.kinds.interface import Half, LinkGround, NodeGround, Task
from outrider.logs import Tag, task_logger
from outrider.master.groups_sending import Outgoing, WorkerGroups
from outrider.master.standings import Standings
from outrider.model import GroupAssignment
from outrider.protocol import commands as c
from outrider.protocol.groups_message import GroupsHash, GroupsWriter
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.store.agents import GroupsQuery, TellsOfGroups
from outrider.supervise import within
from outrider.trying import Tries

_CHANGES = GroupsQuery(condition="sync_status", set_synced=True, with_hash=True)
_EVERYTHING = GroupsQuery(condition="all")
_AT_ONCE, _PATIENCE_S = 4, 2.0
"""So many sends share the event loop; one that takes longer goes on beside them, and the next begins."""
_REST: Final = 4.0
"""After a round this many times its duration pass before the next, as long as something changes all the time."""


class AgentGroups(Half["WorkerGroups"]):
    """The groups of this node: reads them for everybody, and spreads the sends."""

    def __init__(self, ground: NodeGround, standings: Standings, calls: Handlers) -> None:
        super().__init__()
        self.standings = standings
        self._ground = ground
        self._agents = ground.agents
        self._heard = ground.events.groups
        self._ports = ground.ports
        self._status = ground.status
        self._log = task_logger(Tag.AGENT_GROUPS_SEND, ground.node.name)
        self._full_log = task_logger(Tag.AGENT_GROUPS_SEND_FULL, ground.node.name)
        self._reading = asyncio.Lock()
        self._askers: dict[WorkerGroups, None] = {}  # in the order in which they asked
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._last = -math.inf  # when a message went out
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()  # by a change of groups, or of the settings
        ground.live.when_changed(self._woken.set)
        if isinstance(self._agents, TellsOfGroups):
            self._agents.when_groups_change(self._groups_changed)
        calls.call("outrider.send_groups")(self.send_now)

    def talk(self, link: LinkGround) -> WorkerGroups:
        """The groups of one worker."""
        return WorkerGroups(link, self)

    def tasks(self) -> Sequence[Task]:
        """Rounds."""
        return [(Tag.AGENT_GROUPS_SEND, self.run)]

    async def run(self) -> None:
        """Send what has changed, and the hash, to all workers: soon after a change, and at the interval in any case."""
        await self._ports.sleep(self._ground.settings.intervals.master.agent_group_start_delay)
        ports, log, status = self._ports, self._log, self._status
        with Tries(Tag.AGENT_GROUPS_SEND, ports, log, status, base_s=1, cap_s=self._interval) as tries:
            while True:
                started = ports.monotonic()
                try:
                    sent = await self._round(only_changes=started < self._due)
                except Exception as error:  # noqa: BLE001  (a host's store may raise anything)
                    tries.failed(error)
                    await tries.pause()
                    continue
                tries.worked()
                if sent or started >= self._due:
                    self._last = ports.monotonic()
                await self._pause(_REST * (ports.monotonic() - started))

    def _interval(self) -> float:
        return self._ground.settings.intervals.master.sync_agent_groups

    @property
    def _due(self) -> float:
        """When the next message goes out in any case."""
        return self._last + self._interval()

    def _groups_changed(self) -> None:
        self._changed.set()
        self._woken.set()

    async def send_now(self, context: Context) -> None:
        """``outrider.send_groups``: assignments were changed where no store tells of it: by another program."""
        context.only_local()
        self._groups_changed()

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

    async def _round(self, *, only_changes: bool) -> bool:
        """Whether a message goes out; raises what the store does, once what it gave before is on its way."""
        if not self.talks:
            return False
        changed: list[GroupAssignment] = []
        async with self._reading:
            message, failure = await self._changes(changed)
            goes_out = bool(message.assignments) or not (only_changes or failure)
            for worker in self.talks.values() if goes_out else ():
                worker.put(message)
        if changed:
            self._heard.tell(GroupsEvent(assignments=tuple(changed)), len(changed))
        if failure is not None:
            raise failure
        return goes_out

    async def _pause(self, rest_s: float) -> None:
        """Until a burst of changes is over, after ``rest_s`` at the earliest, or until the next message is due."""
        now = self._ports.monotonic
        await self._ports.sleep(min(rest_s, self._due - now()))
        while not self._changed.is_set() and (left := self._due - now()) > 0:
            self._woken.clear()
            await within(left, self._woken.wait())
        burst = self._ground.settings.watch
        latest = now() + burst.longest_s
        while self._changed.is_set() and now() < latest:
            self._changed.clear()
            await self._ports.sleep(burst.settle_s)

    async def _changes(self, changed: list[GroupAssignment]) -> tuple[Outgoing, Exception | None]:
        """What has changed. If the store fails midway, what it gave is sent without a hash: it counts as sent.

        Where the host hears of it, ``changed`` gets the assignments.
        """
        writer = GroupsWriter()
        try:
            digest = await self._read(_CHANGES, writer, changed if self._heard.heard else None)
        except Exception as error:  # noqa: BLE001  (a host's store may raise anything)
            return await self._outgoing(c.GROUPS, writer, UNSET), error
        return await self._outgoing(c.GROUPS, writer, digest), None

    async def _everything(self) -> None:
        """Read all groups for all who have asked by the end of it."""
        writer = GroupsWriter()
        try:
            await self._agents.recalculate_hashes()
            await self._read(_EVERYTHING, writer)
        except Exception as error:  # noqa: BLE001  (a host's store may raise anything)
            writer = GroupsWriter()
            reason = error or type(error).__name__
            self._full_log.warning("the groups could not be read; whoever still needs them asks again: %s", reason)
        message = await self._outgoing(c.FULL_GROUPS, writer)
        askers = list(self._askers)
        self._askers.clear()
        if message.assignments:
            for worker in askers:
                worker.put(message)

    async def _outgoing(self, command: c.Command, writer: GroupsWriter, digest: GroupsHash = UNSET) -> Outgoing:
        """What was read, and the files that it needs: who made a group made them before the group was read here."""
        message = Outgoing(command, writer.finish(digest), writer.assignments)
        if not message.assignments:
            return message
        patience = self._ports.monotonic() + self._interval()
        generation = await self.standings.of_now(self._interval())
        return message._replace(generation=generation, patience=patience)

    async def _read(
        self, query: GroupsQuery, writer: GroupsWriter, all_of_it: list[GroupAssignment] | None = None
    ) -> str | None:
        """All parts of an answer; the hash of the last."""
        while True:
            part = await self._agents.groups(query)
            writer.add(part.assignments)
            if all_of_it is not None:
                all_of_it += part.assignments
            if not part.more:
                return part.hash
            if not part.assignments:
                raise StoreError("the store says again and again that there are more groups, and gives none")
            query = query._replace(after=part.assignments[-1].id)
