"""A master: holds the tree, lets workers in, brings each in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from outrider import http
from outrider.codes import Code
from outrider.errors import Refusal, SettingsError, StoreError, TransportError
from outrider.exchange.credentials import Credentials
from outrider.exchange.extension import extension_of
from outrider.exchange.sending import Sender
from outrider.exchange.session import Ground
from outrider.hooks import Hooks
from outrider.kinds.composing import Halves
from outrider.kinds.interface import Kind, NodeGround, Task
from outrider.kinds.signals import Signal
from outrider.logs import Tag
from outrider.master.builtin import builtin
from outrider.master.census import Census
from outrider.master.handler import MasterHandler
from outrider.master.requests import MasterRequests
from outrider.master.roster import Roster
from outrider.master.sight import Sight
from outrider.master.source import Source
from outrider.master.strangers import Strangers
from outrider.model import Manifest, NodeInfo, endpoint
from outrider.node import Node
from outrider.overview import Overview
from outrider.ports import Listener, Ports
from outrider.printable import counted
from outrider.protocol import faults
from outrider.relay.control import WorkerState
from outrider.relay.local import LocalServer, Services
from outrider.settings import Settings
from outrider.store.agents import AgentStore
from outrider.store.tree import FileTree
from outrider.supervise import Supervisor, rest
from outrider.transport.channel import Channel


class Master(Node):
    """A node that others are kept in step with: ``async with outrider.Master(settings) as master:``.

    Entering it, or :meth:`run`, which returns after :meth:`stop`, raises :class:`SettingsError` if the settings do not
    allow a start, and nothing else that a peer could cause. ``addresses`` (host and port) are bound once it is entered,
    or ``started`` is set. ``agents`` is a host's own store of agents, which the host closes; ``kinds`` are kinds of
    synchronisation of its own, :class:`ValueError` if one clashes; ``hooks`` hear what happens.
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
        self.addresses: list[tuple[str, int]] = []
        self.roster: Roster[MasterHandler] = Roster(self.get_node(), settings.node.cluster)
        self._requests: MasterRequests | None = None
        self._source: Source | None = None
        self._supervisor = Supervisor(self._ports, self._log, self.status)
        self._handlers: dict[MasterHandler, None] = {}  # in the order in which they came
        self._credentials: Credentials | None = None
        self._strangers = Strangers(self._ports, self.status, self._log)
        self._sight = Sight(
            self.get_node(), self.roster.members, live=self._current, ports=self._ports, status=self.status
        )
        self._sight.offer(self._plugins.calls)
        self.status.gauge("connected_peers", lambda: len(self.roster))
        self.status.gauge("received", lambda: sum(one.session.channel.bytes_in for one in self._handlers))
        self.status.gauge("sent", lambda: sum(one.session.channel.bytes_out for one in self._handlers))

    def state(self) -> str:
        """How this node is, in a line for people."""
        return f"{counted(len(self.roster), 'worker')} connected"

    def get_node(self) -> NodeInfo:
        """Who this node is."""
        node, link = self.settings.node, self.settings.link
        address = link.nodes[0] if link.nodes else link.bind_addr
        return NodeInfo(name=node.name, type="master", version=node.wire_version, address=address)

    def look(self) -> Overview:
        """The cluster as this master sees it now."""
        return self._sight.look()

    async def cluster(self) -> Overview:
        """The cluster: a master knows all of it."""
        return self._sight.look()

    async def publish(self) -> int:
        """Look at the tree now, not when its changes are noticed; return the number of its generation.

        When this returns the generation is kept, durably, and every worker is being told; ``await
        worker.wait_for(...)`` tells when one has it. :class:`StoreError` if the tree cannot be read, or the node does
        not run. A tree that changes all the time, or a full disk, makes this wait: use ``asyncio.timeout``.
        """
        source = self._source
        if source is None:
            raise StoreError("this node does not run, so that it makes no generation").coded(Code.NOT_RUNNING)
        await source.look()
        await self._events.until(lambda: self._events.root == source.manifest.root)
        return self.generation

    def add_tasks(self, source: Source, halves: Halves) -> list[Task]:
        """What runs while the node does: name and work."""
        return [
            (Tag.LOCAL_INTEGRITY, source.run),
            (Tag.KEEP_ALIVE, self._check_keep_alives),
            *halves.tasks(),
        ]

    async def _live(self, tree: FileTree) -> None:
        """Until cancelled; a worker is told before its connection closes."""
        source = self._source = Source(tree, self._current, self._ports, self.status)
        await source.look()
        self._plugins.tell(self._log)
        self._credentials = await Credentials.of(self.settings, self._ports, self._home.path, self.status, "master")
        own = builtin(source, self._states, self._plugins.calls, self._keys, self._credentials)
        kinds = (*own, *self._plugins.kinds)
        halves = Halves(kinds, "master", self._ground(tree))
        listener: Listener | None = None
        try:
            await halves.start()
            self._requests = halves.of("requests", MasterRequests)
            listener = await self._listen(halves)
            census = halves.of("census", Census)
            self._supervisor.repeat(Tag.LOCAL_SERVER, self._local(source, census, self._requests).run)
            if self.settings.http.enabled:
                self._supervisor.repeat(Tag.HTTP, http.server(self).run)
            self._supervisor.repeat(Tag.LOCAL_WATCH, lambda: tree.changes.run(self._ports.watching))
            self._supervisor.repeat("the settings file", self._reloading.follow)
            for name, work in self.add_tasks(source, halves):
                self._supervisor.repeat(name, work)
            await asyncio.Event().wait()
        finally:
            if listener is not None:
                listener.close()
            await asyncio.gather(*(handler.close("the master is stopping") for handler in list(self._handlers)))
            await self._supervisor.stop()
            self._requests = self._source = None
            await halves.close()

    def _ground(self, tree: FileTree) -> NodeGround:
        return NodeGround(
            node=self.get_node(),
            live=self._shown,
            ports=self._ports,
            status=self.status,
            supervisor=self._supervisor,
            agents=self.agents,
            tree=tree,
            nodes=lambda: [self.get_node(), *(handler.info for handler in self.roster.members())],
            applied=Signal(),
            events=self._events,
        )

    async def _listen(self, halves: Halves) -> Listener:
        link = self.settings.link
        home, credentials = self._home.path, self._credentials
        extension = await extension_of(self._current, self._ports, home, credentials, halves.features())
        if extension is not None:
            self._sight.expect(await extension.remembered(self._log))
        ground = Ground(self._current, self._ports, self._home, self._keys.ring, extension)

        def accept() -> Channel:
            handler = MasterHandler(
                ground, halves, roster=self.roster, status=self.status, admit=self._admit, left=self._left
            )
            return handler.session.channel

        try:
            listener = await self._ports.network.listen(link.bind_addr, link.port, accept)
        except TransportError as error:
            raise SettingsError(f"link.bind_addr, link.port: {error}; is another master running there?").coded(
                Code.CANNOT_LISTEN
            ) from error
        self.addresses = listener.addresses
        self._log.info("listening on %s", ", ".join(endpoint(host, port) for host, port in self.addresses))
        self.started.set()
        return listener

    def _local(self, source: Source, census: Census, requests: MasterRequests) -> LocalServer:
        async def manifest() -> Manifest:
            return source.manifest

        services = Services(
            node=self.get_node(),
            live=self._current,
            ports=self._ports,
            status=self.status,
            routes=requests,
            control=census.answer,
            manifest=manifest,
            sender=self._sender,
        )
        return LocalServer(services)

    def _sender(self, node: str) -> Sender:
        handler = self.roster.get(node)
        if handler is None:
            raise Refusal(faults.UNKNOWN_NODE, node)
        return handler.session.sender

    def _states(self, agents: Callable[[str], int | None]) -> list[WorkerState]:
        return [handler.state(agents) for handler in self.roster.members()]

    def _admit(self, handler: MasterHandler) -> str | None:
        """Whether there is room for one more connection: ``None``, or the limit that was hit."""
        limits = self.settings.limits
        address = handler.session.channel.address
        here = sum(other.session.channel.address == address for other in self._handlers)
        self._handlers[handler] = None
        if len(self._handlers) > limits.connections:
            self.status.limit_hit("limits.connections")
            return f"this node has {counted(limits.connections, 'connection')} already (limits.connections)"
        if here >= limits.connections_per_address:
            self.status.limit_hit("limits.connections_per_address")
            return f"{address} has {counted(here, 'connection')} already (limits.connections_per_address)"
        return None

    def _left(self, handler: MasterHandler) -> None:
        """A connection is gone: free what it held, in the background."""
        if handler.info.name:
            self._sight.left(handler, handler.session.channel.reason)
        self._strangers.left(handler, self._credentials)
        if not self._stopping.is_set():
            self._supervisor.start("clean up", self._clean_up(handler))

    async def _clean_up(self, handler: MasterHandler) -> None:
        await handler.close("its stream is gone")
        self._handlers.pop(handler, None)

    async def _check_keep_alives(self) -> None:
        """Close connections whose last sign of life is too old (5.2)."""
        while True:
            await rest(
                self._ports, self._current, lambda settings: settings.intervals.master.check_worker_lastkeepalive
            )
            allowed_s = self.settings.intervals.master.max_allowed_time_without_keepalive
            oldest = self._ports.monotonic() - allowed_s
            for handler in self.roster.members():
                if handler.last_keep_alive < oldest:
                    self._log.warning("%s has not been heard of for too long", handler.info.name)
                    handler.session.channel.close("no keep-alive came in time")
