"""A worker: connects to its master, runs the tasks of the connection, comes back when it is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import NoReturn

from outrider import http
from outrider.codes import Code
from outrider.errors import (
    Awaits,
    ConnectionLostError,
    OutriderError,
    Refusal,
    RefusedByPeer,
    SettingsError,
    TransportError,
)
from outrider.exchange.credentials import Credentials
from outrider.exchange.extension import extension_of
from outrider.exchange.sending import Sender
from outrider.exchange.session import Ground
from outrider.hooks import Hooks
from outrider.kinds.composing import Halves
from outrider.kinds.interface import Kind, NodeGround, Task
from outrider.kinds.signals import Signal
from outrider.logs import Tag
from outrider.model import Manifest, NodeInfo, endpoint
from outrider.node import Node
from outrider.overview import Overview
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.commands import Command
from outrider.protocol.seal import AGE_SETTING
from outrider.relay.local import LocalServer, Services
from outrider.settings import Settings
from outrider.store.agents import AgentStore
from outrider.store.tree import FileTree
from outrider.supervise import Supervisor
from outrider.transport.channel import Channel
from outrider.trying import Tries
from outrider.worker.builtin import builtin
from outrider.worker.handler import WorkerHandler
from outrider.worker.requests import WorkerRequests
from outrider.worker.sight import Sight

_SILENT = (
    "; does the cluster key differ from the master's? If it was rotated while this node was away, bring "
    f"the master's key file here (docs/keys.md). Or, with {AGE_SETTING}, the clock? "
    "Or does the master demand TLS from the first byte (link.tls = required)?"
)
"""What makes a master close without a word (1.3)."""
_REMEDIES = {
    faults.MASTERS_NAME: "this node has the master's name: set another node.name",
    faults.OTHER_CLUSTER: "the master belongs to another cluster: set node.cluster to its name",
    faults.OTHER_VERSION: "the master speaks another version: set node.wire_version to its version",
}


class Worker(Node):
    """A node that is kept in step: ``async with outrider.Worker(settings) as worker:``.

    Entering it, or :meth:`run`, which returns after :meth:`stop`, raises :class:`SettingsError` if the settings do not
    allow a start, and nothing else that a peer could cause. ``agents`` is a host's own store of agents, which the host
    closes; ``kinds`` are kinds of synchronisation of its own, :class:`ValueError` if one clashes; ``hooks`` hear what
    happens.
    Specification 5.1 to 5.5, 5.11.
    """

    def __init__(
        self,
        settings: Settings,
        ports: Ports | None = None,
        *,
        agents: AgentStore | None = None,
        kinds: Iterable[Kind] = (),
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(settings, ports, hooks, agents=agents, kinds=kinds)
        self._requests: WorkerRequests | None = None
        self._handler: WorkerHandler | None = None  # of the connection that stands
        self._credentials: Credentials | None = None
        self._sight = Sight(self.get_node(), live=self._current, ports=self._ports, status=self.status)
        self.status.gauge("connected_peers", lambda: self.status.link.connected)
        self.status.gauge("received", lambda: 0 if self._handler is None else self._handler.session.channel.bytes_in)
        self.status.gauge("sent", lambda: 0 if self._handler is None else self._handler.session.channel.bytes_out)

    def state(self) -> str:
        """How this node is, in a line for people."""
        now = self.status.snapshot()
        if not now.link.connected:
            return f"not connected: {now.link.reason or 'the first connection is being made'}"
        rounds = now.kinds.get("integrity")
        if rounds is None or rounds.last is None:
            return f"connected to {now.link.peer}, nothing is compared yet"
        if rounds.last.ok:
            return f"in step with the master at {now.link.peer}"
        return f"connected to {now.link.peer}, not in step: {rounds.last.detail}"

    def get_node(self) -> NodeInfo:
        """Who this node is."""
        node = self.settings.node
        return NodeInfo(name=node.name, type="worker", version=node.wire_version, address="")

    def look(self) -> Overview:
        """The cluster as far as this worker knows it by itself: its own row."""
        return self._sight.look()

    async def cluster(self) -> Overview:
        """The cluster: this node, and as far as its master tells of them, all others."""
        return self.look() if self._requests is None else await self._sight.cluster(self._requests)

    def add_tasks(self, handler: WorkerHandler) -> list[Task]:
        """What runs while a connection stands: name and work."""
        return [(Tag.KEEP_ALIVE, handler.keep_alive), *handler.talks.tasks()]

    async def _live(self, tree: FileTree) -> None:
        """Until cancelled; the master is told before the connection closes."""
        self._plugins.tell(self._log)
        supervisor = Supervisor(self._ports, self._log, self.status)
        self._credentials = await Credentials.of(self.settings, self._ports, self._home.path, self.status, "worker")
        kinds = (*builtin(self._plugins.calls, self._keys, self._credentials), *self._plugins.kinds)
        halves = Halves(kinds, "worker", self._ground(tree, supervisor))
        try:
            await halves.start()
            self._requests = halves.of("requests", WorkerRequests)
            supervisor.repeat(Tag.LOCAL_SERVER, self._local(tree, self._requests).run)
            if self.settings.http.enabled:
                supervisor.repeat(Tag.HTTP, http.server(self).run)
            supervisor.repeat(Tag.LOCAL_WATCH, lambda: tree.changes.run(self._ports.watching))
            supervisor.repeat("the settings file", self._reloading.follow)
            for name, work in halves.tasks():
                supervisor.repeat(name, work)
            self.started.set()
            await self._stay_connected(halves)
        finally:
            await supervisor.stop()
            self._requests = None
            await halves.close()

    def _check(self, settings: Settings) -> None:
        """Raise a :class:`SettingsError` if no worker can run with these."""
        if not settings.link.nodes:
            raise SettingsError("link.nodes: a worker needs its master's address, e.g. nodes = ['192.0.2.10']").coded(
                Code.SETTING_MISSING
            )
        super()._check(settings)

    def _ground(self, tree: FileTree, supervisor: Supervisor) -> NodeGround:
        return NodeGround(
            node=self.get_node(),
            live=self._shown,
            ports=self._ports,
            status=self.status,
            supervisor=supervisor,
            agents=self.agents,
            tree=tree,
            nodes=lambda: [self.get_node()],
            applied=Signal(),
            events=self._events,
        )

    def _local(self, tree: FileTree, requests: WorkerRequests) -> LocalServer:
        async def manifest() -> Manifest:
            return (await tree.scan()).manifest

        services = Services(
            node=self.get_node(),
            live=self._current,
            ports=self._ports,
            status=self.status,
            routes=requests,
            control=self._ask_master,
            manifest=manifest,
            sender=self._sender,
        )
        return LocalServer(services)

    def _ask_master(self, command: Command, payload: bytes) -> Awaitable[bytes]:
        if self._handler is None:
            raise Refusal(faults.NO_MASTER)
        return self._handler.session.request(command, payload)

    def _sender(self, _: str) -> Sender:
        """Files of programs go to the master, whatever node they name (2.4)."""
        if self._handler is None:
            raise Refusal(faults.NO_MASTER)
        return self._handler.session.sender

    async def _stay_connected(self, halves: Halves) -> None:
        home, credentials = self._home.path, self._credentials
        extension = await extension_of(self._current, self._ports, home, credentials, halves.features())
        ground = Ground(self._current, self._ports, self._home, self._keys.ring, extension)
        log, status = self._log, self.status
        with Tries("the link to the master", self._ports, log, status, base_s=0.5, cap_s=self._longest_pause) as tries:
            while True:
                if await self._keys.read_again():
                    self._log.info("the key file has changed: this node seals with the key %s", self._keys.ids[0])
                tries.failed(await self._connection(WorkerHandler(ground, halves, self.status), tries))
                await tries.pause()

    def _longest_pause(self) -> float:
        return self.settings.intervals.worker.connection_retry

    async def _connection(self, handler: WorkerHandler, tries: Tries) -> OutriderError:
        """One connection, from dialling to its end, and how it ended."""
        reason = "this node is stopping"
        try:
            await self._greet(handler)
            with tries.holding():
                await self._work(handler)
        except OutriderError as error:
            ended, fault = _explained(error), handler.session.channel.fault
            reason = str(ended)
            if fault is not None:  # whatever waited then tells of a lost link
                ended.like(fault)
            elif self._handler is None and self._credentials is not None:
                self._credentials.blame(ended, handler.session.channel)
            return ended
        finally:
            self._handler = None
            await handler.close(reason)
            at, why = self._ports.wall(), handler.session.channel.reason
            self.status.disconnected(why, at)
            self.status.in_step(at, f"no link to the master: {why}")

    async def _greet(self, handler: WorkerHandler) -> None:
        """Dial, say hello, and extend the link if the master can."""
        link = self.settings.link
        channel = handler.session.channel
        try:
            await self._ports.network.dial(link.nodes[0], link.port, lambda: channel)
        except TransportError as error:
            text = f"cannot reach the master at {endpoint(link.nodes[0], link.port)}: {error}"
            raise TransportError(text).like(error) from error
        try:
            await handler.hello()
        except TransportError as error:
            if channel.bytes_in:
                raise TransportError(f"no answer to hello: {error}").coded(Code.NO_HELLO) from error
            hint = self._silence(channel)
            if not channel.opened:
                self._keys.ring.try_next()
            file = self.settings.link.key_file
            awaits = Awaits("file", str(file.absolute())) if file else None
            silent = TransportError(f"no answer to hello: {error}{hint}").until(awaits)
            raise silent.coded(Code.NO_HELLO if channel.opened else Code.KEYS_DIFFER) from error
        await handler.extend()

    def _silence(self, channel: Channel) -> str:
        """What may be behind a master that closes without a word."""
        if not channel.opened or self._credentials is None:
            return _SILENT
        return f"; {self._credentials.guess()}"

    async def _work(self, handler: WorkerHandler) -> NoReturn:
        """Run the tasks until the link is lost."""
        self._handler = handler
        self.status.connected(handler.session.channel.address, self._ports.wall())
        for name, work in self.add_tasks(handler):
            handler.supervisor.repeat(name, work)
        raise ConnectionLostError(await handler.session.channel.closed())


def _explained(error: OutriderError) -> OutriderError:
    """A refusal of the master with the remedy, if there is one."""
    if isinstance(error, RefusedByPeer) and error.code in _REMEDIES:
        return RefusedByPeer(error.code, _REMEDIES[error.code])
    return error
