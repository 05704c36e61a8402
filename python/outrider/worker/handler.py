"""The worker's side of a connection: each command of the master and the task that answers it, one line each."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

from outrider.errors import RefusedByPeer, TransportError
from outrider.exchange.session import Ground, Serve, Session
from outrider.logs import Tag, task_logger
from outrider.protocol import commands as c
from outrider.protocol.bodies import Hello, TaskFault
from outrider.protocol.commands import Command
from outrider.status import Status
from outrider.store.agents import AgentStore
from outrider.store.outbox import Outbox
from outrider.store.tree import FileTree
from outrider.supervise import Supervisor
from outrider.transport.channel import Channel, Reply
from outrider.worker.agent_groups import AgentGroups
from outrider.worker.agent_info import AgentInfoSync
from outrider.worker.integrity import Integrity, ReceiveIntegrityTask, Verdict
from outrider.worker.registered import RegisteredAgents
from outrider.worker.requests import MasterLink, WorkerRequests


class WorkerHandler:
    """One connection to the master, from hello to its end."""

    def __init__(
        self,
        ground: Ground,
        tree: FileTree,
        agents: AgentStore,
        outbox: Outbox,
        *,
        requests: WorkerRequests,
        status: Status,
    ) -> None:
        self._settings = ground.settings
        self._ports = ground.ports
        self._status = status
        node = self._settings.node.name
        self._log = task_logger(Tag.CLUSTER, node)
        self._keep_alive_log = task_logger(Tag.KEEP_ALIVE, node)
        self.session = Session(ground, self)
        self.supervisor = Supervisor(ground.ports, self._log)
        self.integrity = Integrity(self.session, tree, self._settings, ground.ports, status)
        self._agent_info = AgentInfoSync(
            self.session, agents, outbox, settings=self._settings, ports=ground.ports, status=status
        )
        self._groups = AgentGroups(
            self.session,
            agents,
            settings=self._settings,
            ports=ground.ports,
            status=status,
            supervisor=self.supervisor,
        )
        self.registered = RegisteredAgents(agents, self._settings, ground.ports)
        self._link = MasterLink(
            self.session,
            requests,
            settings=self._settings,
            ports=ground.ports,
            status=status,
            supervisor=self.supervisor,
        )
        self.session.also_serve({**self._serves(), **self._link.serves()})

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
        self._link.lost(reason)
        self._log.info("disconnected: %s", reason)

    # what the node asks for

    async def hello(self) -> None:
        """Say who we are (5.1); :class:`RefusedByPeer` with the master's code if it does not want us."""
        node = self._settings.node
        hello = Hello(node.name, node.cluster, "worker", node.wire_version)
        await self.session.open_transfers(node.name)
        self.session.worker = node.name
        await self.session.request(c.HELLO, hello.encode())
        self._link.joined()
        self._log.info("the master at %s added this node", self.session.channel.address)

    async def keep_alive(self) -> None:
        """Say that we live; close the link when the master does not answer several times in a row (5.2)."""
        times = self._settings.intervals.worker
        failed = 0
        while failed < times.max_failed_keepalive_attempts:
            await self._ports.sleep(times.keep_alive)
            answered = await self._alive()
            failed = 0 if answered else failed + 1
        self.session.channel.close(f"the master left {failed} keep-alives in a row unanswered")

    async def sync_integrity(self) -> None:
        """Keep the tree in step until cancelled."""
        await self.integrity.run()

    async def sync_agent_info(self) -> None:
        """Send what changed on this node's agents until cancelled."""
        await self._agent_info.run()

    async def process_files_from_master(self, file: Path) -> None:
        """Apply a received container, all or nothing."""
        await self.integrity.process_files_from_master(file)

    async def close(self, reason: str) -> None:
        """End all tasks of this connection, telling the master what is given up, then the connection."""
        await self.session.end(self.supervisor, reason)

    # the master's commands

    def _serves(self) -> dict[Command, Serve]:
        return {
            c.ECHO_MASTER: lambda payload: Reply(payload, c.OK_ECHO_MASTER),
            c.IN_STEP: self._in_step,
            c.INTEGRITY_SYNC: self._receive_files,
            c.INTEGRITY_SYNC_END: self.session.deliver,
            c.INTEGRITY_SYNC_ERROR: self._files_failed,
            c.GROUPS: self._groups.receive,
            c.FULL_GROUPS: self._groups.receive_all,
            c.AGENT_INFO_RESULT: self._agent_info.result,
            c.AGENT_INFO_ERROR: self._agent_info.failed,
        }

    def _in_step(self, _: bytes) -> Reply:
        self.integrity.conclude(Verdict.IN_STEP)
        return Reply(b"Thanks")

    def _receive_files(self, payload: bytes) -> Reply:
        task = self.integrity.receive(*self.session.tasks.open(payload))
        self.supervisor.start(Tag.INTEGRITY_SYNC, self._apply(task))
        return task.reply

    async def _apply(self, task: ReceiveIntegrityTask) -> None:
        await task.run()
        self.registered.look_now()

    def _files_failed(self, payload: bytes) -> Reply:
        failed = TaskFault.decode(payload)
        if not self.session.tasks.fail(failed.task, failed.fault):
            self.integrity.log.warning("the master cannot send files: %s", failed.fault)
            self.integrity.conclude(Verdict.FAILED)
        return Reply(b"Error received")

    async def _alive(self) -> bool:
        try:
            await self.session.request(c.KEEP_ALIVE, b"keepalive")
        except (TransportError, RefusedByPeer) as error:
            self._keep_alive_log.warning("%s", error)
            return False
        return True
