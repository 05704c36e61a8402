"""The master's side of a connection: hello, keep-alive, and the talks of all kinds of synchronisation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from outrider.errors import OutriderError, Refusal
from outrider.exchange.extension import Extended
from outrider.exchange.session import Ground, Session
from outrider.kinds.composing import Halves
from outrider.logs import Tag, task_logger
from outrider.master.extending import NOT_ITSELF, WorkerExtension
from outrider.master.joining import joining
from outrider.master.roster import Roster
from outrider.model import NodeInfo
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.bodies import Hello, check_node_name
from outrider.protocol.commands import Command
from outrider.relay.control import WorkerState
from outrider.status import Status
from outrider.supervise import Supervisor
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel

_BACK = "its worker has come back on a new connection"
_PROBE_S = 2
"""How long a connection whose name is claimed anew may take to show that it lives; hello waits for it."""


class MasterHandler:
    """One connection of a worker, from accept to its end. ``admit`` decides whether there is room for it."""

    def __init__(
        self,
        ground: Ground,
        halves: Halves,
        *,
        roster: Roster[MasterHandler],
        status: Status,
        admit: Callable[[MasterHandler], str | None],
        left: Callable[[MasterHandler], None],
    ) -> None:
        settings, ports = ground.live.now, ground.ports
        now = ports.monotonic()
        self.info = NodeInfo(name="", type="", version="", address="")
        self.last_keep_alive = now
        self._greeting = False
        self._ports = ports
        self.status = Status(node=status)
        self._roster = roster
        self._admit = admit
        self._left = left
        self._log = task_logger(Tag.CLUSTER, settings.node.name, peer=self._peer)
        deadline = now + settings.limits.handshake_deadline_s
        self.session = Session(ground, self, handshake_deadline=deadline, status=self.status)
        self.supervisor = Supervisor(ports, self._log, self.status)
        self.talks = halves.talks(self.session, self.status, self.supervisor)
        self.session.also_serve({c.HELLO: self._hello, c.KEEP_ALIVE: self._keep_alive})
        self.session.also_serve(self.talks.serves())
        self._claim: NodeInfo | None = None  # a name that another connection has until this one proves whose it is
        self._extension = WorkerExtension(
            self.session,
            ground.extension,
            ports=ports,
            status=self.status,
            supervisor=self.supervisor,
            log=self._log,
            proven=self._proven,
        )
        self.session.also_serve(self._extension.serves())
        self.session.also_serve(joining(self.session, ground.extension, ports, self.status, self._log))

    def _peer(self) -> str:
        return self.info.name or self.session.channel.address

    # what the channel calls

    def connected(self, channel: Channel) -> None:
        """A stream came in; whether it may stay."""
        if refusal := self._admit(self):
            channel.close(refusal)

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        """Serve a request of the worker."""
        self._extension.check(command)
        return self.session.serve(command, payload)

    def lost(self, reason: str) -> None:
        """The stream is gone."""
        channel = self.session.channel
        if channel.limit:
            self.status.limit_hit(channel.limit)
        self.status.carried(channel.bytes_in, channel.bytes_out)
        if self.info.name:
            self._roster.leave(self)
            self._log.info("%s disconnected: %s", self.info.name, reason)
        else:
            self._log.debug("a connection from %s ended before hello: %s", channel.address, reason)
            self.status.count("connections_without_hello")
        self.talks.lost(reason)
        self._left(self)

    # what the node asks for

    def state(self, agents: Callable[[str], int | None]) -> WorkerState:
        """How this worker is; ``agents`` counts those of a node."""
        return WorkerState(
            self.info,
            self.status.snapshot(),
            integrity_free=self.talks.free("integrity"),
            agent_info_free=self.talks.free("agent_info"),
            keep_alive=self._ports.wall() - (self._ports.monotonic() - self.last_keep_alive),
            agents=agents(self.info.name),
        )

    async def answers(self) -> bool:
        """Whether the peer is there at all: it must echo within moments."""
        if not self.session.channel.is_open:
            return False
        try:
            async with asyncio.timeout(_PROBE_S):  # wait_for may swallow that our own caller was cancelled
                await self.session.request(c.ECHO, b"are you there?")
        except (TimeoutError, OutriderError):
            return False
        return True

    async def close(self, reason: str) -> None:
        """End all tasks of this connection, telling the worker what is given up, then the connection."""
        await self.session.end(self.supervisor, reason)

    # the worker's commands

    async def _hello(self, payload: bytes) -> Reply:
        """5.1. A name that is taken is free for whoever proves that it is his, or if its old connection is dead."""
        hello = Hello.decode(payload)
        check_node_name(hello.node)
        if self.info.name or self._greeting or self._claim is not None:
            raise Refusal(faults.NAME_TAKEN, hello.node)
        self._greeting = True
        try:
            return await self._greet(hello)
        finally:
            self._greeting = False

    async def _greet(self, hello: Hello) -> Reply:
        proven = self._extension.admit(hello.node)
        self._roster.check(hello)
        await self._extension.expect(hello.node)
        await self.session.open_transfers(hello.node)
        info = NodeInfo(name=hello.node, type=hello.type, version=hello.version, address=self.session.channel.address)
        earlier = self._roster.get(hello.node)
        if earlier is not None and proven:
            earlier.give_way()
        elif earlier is not None and earlier.session.extended is not None and self._extension.will_prove:
            self._claim = info
            self.session.worker = info.name
            self.session.channel.connection.known()
            return Reply(f"Client {hello.node} added".encode())
        elif earlier is not None:
            if await earlier.answers():
                raise Refusal(faults.NAME_TAKEN, hello.node)
            await earlier.close(_BACK)
        self._join(info)
        return Reply(f"Client {hello.node} added".encode())

    def give_way(self) -> None:
        """Its worker speaks on another connection: nothing that may still come over this one is heard any more."""
        self._log.info("%s has come back and proved it: its old connection is cut", self.info.name)
        self.status.count("sessions_taken_over")
        self.session.channel.abandon(_BACK)

    def _proven(self, peer: Extended) -> None:
        """The peer is who it says. If another connection has its name, one of the two must go."""
        info, self._claim = self._claim, None
        if info is None:
            return
        earlier = self._roster.get(info.name)
        theirs = None if earlier is None else earlier.session.extended
        if earlier is not None and (theirs is None or not theirs.same(peer)):
            self.status.count("identities_refused")
            self.session.channel.close(f"{NOT_ITSELF}{info.name}: another node has this name")
            return
        if earlier is not None:
            earlier.give_way()
        self._join(info)

    def _join(self, info: NodeInfo) -> None:
        """Without a pause in it: of two greetings at once one is the first.

        Who was lost meanwhile gets no name, which it would keep: nobody would ever hear that it left.
        """
        if not self.session.channel.is_open:
            raise Refusal(faults.INTERNAL, "the connection was lost before hello was answered")
        self._roster.join(self, info)
        self.session.worker = self.status.peer = info.name
        self.status.connected(info.name, self._ports.wall())
        self.session.channel.connection.known()
        self.talks.joined(info.name)
        self._log.info("%s joined from %s", info.name, info.address)
        for name, work in self.talks.tasks():
            self.supervisor.repeat(name, work)

    def _keep_alive(self, payload: bytes) -> Reply:
        self.last_keep_alive = self._ports.monotonic()
        return Reply(payload, c.OK_KEEP_ALIVE)
