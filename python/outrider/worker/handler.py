"""The worker's side of a connection: hello, keep-alive, and the talks of all kinds of synchronisation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from pathlib import Path

from outrider.errors import RefusedByPeer, TransportError
from outrider.exchange.session import Ground, Session
from outrider.kinds.composing import Halves
from outrider.kinds.interface import MASTER
from outrider.logs import Tag, task_logger
from outrider.model import endpoint
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol.bodies import Hello
from outrider.protocol.commands import Command
from outrider.status import Status
from outrider.supervise import Supervisor, rest
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.worker.agent_info import AgentInfoSync
from outrider.worker.extending import MasterExtension
from outrider.worker.integrity import Integrity


class WorkerHandler:
    """One connection to the master, from hello to its end."""

    def __init__(self, ground: Ground, halves: Halves, status: Status) -> None:
        self._live = ground.live
        self._ports = ground.ports
        self._status = status
        self._added = False
        node = self._live.now.node.name
        self._log = task_logger(Tag.CLUSTER, node, peer=lambda: self.session.channel.address)
        self._keep_alive_log = task_logger(Tag.KEEP_ALIVE, node, peer=lambda: self.session.channel.address)
        self.session = Session(ground, self, status=status)
        self.supervisor = Supervisor(ground.ports, self._log, status)
        self.talks = halves.talks(self.session, status, self.supervisor)
        self.session.also_serve({c.ECHO_MASTER: lambda payload: Reply(payload, c.OK_ECHO_MASTER)})
        self.session.also_serve(self.talks.serves())
        link = self._live.now.link
        self._extension = MasterExtension(
            self.session,
            ground.extension,
            endpoint(link.nodes[0], link.port),
            ports=ground.ports,
            status=status,
            log=self._log,
        )

    # what the channel calls

    def connected(self, channel: Channel) -> None:
        """The stream is open; hello follows."""
        self._log.debug("connected to %s", channel.address)

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        """Serve a request of the master."""
        return self.session.serve(command, payload)

    def lost(self, reason: str) -> None:
        """The stream is gone."""
        if limit := self.session.channel.limit:
            self._status.limit_hit(limit)
        self.talks.lost(reason)
        self._status.carried(self.session.channel.bytes_in, self.session.channel.bytes_out)
        level = logging.INFO if self._added else logging.DEBUG  # who tries again tells why it came to nothing
        self._log.log(level, "disconnected: %s", reason)

    # what the node asks for

    async def hello(self) -> None:
        """Say who we are (5.1); :class:`RefusedByPeer` with the master's code if it does not want us."""
        await self.session.channel.turned()
        node = self._live.now.node
        hello = Hello(node.name, node.cluster, "worker", node.wire_version)
        await self.session.open_transfers(node.name)
        self.session.worker = node.name
        await self.session.request(c.HELLO, hello.encode())

    async def extend(self) -> None:
        """Extend the link if the master can; then it is ready. :class:`NotExtendedError` if it can do too little."""
        await self._extension.extend()
        self.talks.joined(MASTER)
        self._added = True
        self._log.info("the master at %s added this node", self.session.channel.address)

    async def keep_alive(self) -> None:
        """Say that we live; close the link when the master does not answer several times in a row (5.2)."""
        live, failed = self._live, 0
        while failed < live.now.intervals.worker.max_failed_keepalive_attempts:
            await rest(self._ports, live, lambda settings: settings.intervals.worker.keep_alive)
            answered = await self._alive()
            failed = 0 if answered else failed + 1
        self.session.channel.close(f"the master left {counted(failed, 'keep-alive')} in a row unanswered")

    async def sync_integrity(self) -> None:
        """Keep the tree in step until cancelled."""
        await self.talks.of("integrity", Integrity).run()

    async def sync_agent_info(self) -> None:
        """Send what changed on this node's agents until cancelled."""
        await self.talks.of("agent_info", AgentInfoSync).run()

    async def process_files_from_master(self, file: Path) -> None:
        """Apply a received container, all or nothing."""
        await self.talks.of("integrity", Integrity).process_files_from_master(file)

    async def close(self, reason: str) -> None:
        """End all tasks of this connection, telling the master what is given up, then the connection."""
        await self.session.end(self.supervisor, reason)

    async def _alive(self) -> bool:
        asked = self._ports.monotonic()
        try:
            await self.session.request(c.KEEP_ALIVE, b"keepalive")
        except (TransportError, RefusedByPeer) as error:
            self._keep_alive_log.warning("%s", error)
            return False
        self._status.round_trip(self._ports.monotonic() - asked)
        return True
