"""The worker's side of a connection: each command of the master and the task that answers it, one line each."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from pathlib import Path

from outrider.errors import OutriderError, RefusedByPeer, TransportError
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

_NO_AGENTS = b"this node keeps no agents"


class WorkerHandler:
    """One connection to the master, from hello to its end."""

    def __init__(
        self, ground: Ground, tree: FileTree, agents: AgentStore | None, outbox: Outbox, status: Status
    ) -> None:
        self._agents = agents
        self._settings = ground.settings
        self._ports = ground.ports
        self._status = status
        node = self._settings.node.name
        self._log = task_logger(Tag.CLUSTER, node)
        self._keep_alive_log = task_logger(Tag.KEEP_ALIVE, node)
        self.session = Session(ground, self)
        self.supervisor = Supervisor(ground.ports, self._log)
        self.integrity = Integrity(self.session, tree, self._settings, ground.ports, status)
        self._agent_info = None
        if agents is not None:
            self._agent_info = AgentInfoSync(
                self.session, agents, outbox, settings=self._settings, ports=ground.ports, status=status
            )
        self._groups = None
        if agents is not None:
            self._groups = AgentGroups(
                self.session,
                agents,
                settings=self._settings,
                ports=ground.ports,
                status=status,
                supervisor=self.supervisor,
            )
        self.registered = RegisteredAgents(agents, self._settings, ground.ports) if agents is not None else None
        self.session.also_serve(self._serves())

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
        self._log.info("disconnected: %s", reason)

    # what the node asks for

    async def hello(self) -> None:
        """Say who we are (5.1); :class:`RefusedByPeer` with the master's code if it does not want us."""
        node = self._settings.node
        hello = Hello(node.name, node.cluster, "worker", node.wire_version)
        await self.session.open_transfers(node.name)
        self.session.worker = node.name
        await self.session.request(c.HELLO, hello.encode())
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
        if self._agent_info is not None:
            await self._agent_info.run()
        while True:  # without agents each round ends at 5.7, step 3
            await self._ports.sleep(self._settings.intervals.worker.sync_agent_info)
            await self.session.request(c.AGENT_INFO_PERMISSION)

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
            c.GROUPS: self._groups.receive if self._groups else self._declines_groups(c.GROUPS_ERROR),
            c.FULL_GROUPS: self._groups.receive_all if self._groups else self._declines_groups(c.FULL_GROUPS_ERROR),
            c.AGENT_INFO_RESULT: self._agent_info.result if self._agent_info else self._agent_info_result,
            c.AGENT_INFO_ERROR: self._agent_info.failed if self._agent_info else self._agent_info_error,
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
        if self.registered:
            self.registered.look_now()

    def _files_failed(self, payload: bytes) -> Reply:
        failed = TaskFault.decode(payload)
        if not self.session.tasks.fail(failed.task, failed.fault):
            self.integrity.log.warning("the master cannot send files: %s", failed.fault)
            self.integrity.conclude(Verdict.FAILED)
        return Reply(b"Error received")

    def _declines_groups(self, error: Command) -> Serve:
        return lambda name: self._receive_groups(name, error)

    def _receive_groups(self, name: bytes, error: Command) -> Reply:
        """Take the string off the wire, and say that nothing keeps it (the store of agents is not built yet)."""
        text = self.session.strings.take(name)
        if text is None:
            complaint = b"error while trying to access string under task_id %a." % name
        else:
            complaint = _json_fault(text) or _NO_AGENTS
        self.supervisor.start(Tag.AGENT_GROUPS_RECV, self._complain(error, complaint))
        return Reply(name)

    async def _complain(self, error: Command, complaint: bytes) -> None:
        try:
            await self.session.request(error, complaint)
        except OutriderError as untold:
            self._log.debug("%s: %s", error, untold)

    def _agent_info_result(self, payload: bytes) -> Reply:
        task_logger(Tag.AGENT_INFO_SYNC, self._settings.node.name).info("the master wrote: %s", json.loads(payload))
        return Reply(b"Thanks")

    def _agent_info_error(self, payload: bytes) -> Reply:
        text = payload.decode(errors="replace")
        task_logger(Tag.AGENT_INFO_SYNC, self._settings.node.name).error("the master did not write: %s", text)
        return Reply(b"Thanks")

    async def _alive(self) -> bool:
        try:
            await self.session.request(c.KEEP_ALIVE, b"keepalive")
        except (TransportError, RefusedByPeer) as error:
            self._keep_alive_log.warning("%s", error)
            return False
        return True


def _json_fault(text: bytes) -> bytes | None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return b"error while trying to load JSON: " + str(error).encode()
    return None
