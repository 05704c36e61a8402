"""The unix socket on which programs of this machine ask this node (specification 2.4).

The cluster's frames without encryption and without ``hello``: who may connect is decided by the socket's
owner and mode. Programs written in C read one frame, whatever its counter, and close: so no request is
answered before its answer is final where 2.4 says so, and nobody waits for what a client ought to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from outrider.errors import TransportError
from outrider.exchange.sending import Sender
from outrider.logs import Tag, task_logger
from outrider.model import Manifest, NodeInfo
from outrider.ports import Listener, Ports
from outrider.printable import counted
from outrider.protocol.commands import Command
from outrider.relay.local_client import LocalClientHandler
from outrider.relay.routes import Routes
from outrider.relay.send_file import SendFile
from outrider.settings import Live, Settings
from outrider.settings.checks import owner_ids
from outrider.status import Status
from outrider.supervise import rest
from outrider.transport.channel import Channel

_NAMES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the role brings.

    ``control`` answers ``get_nodes`` and ``get_health``; like ``routes`` it raises a refusal at once if there is
    nobody who could. Without ``routes`` no API request is served. ``manifest`` is what the tree holds, ``sender`` the
    way of a file to a node, as :class:`~outrider.relay.send_file.SendFile` takes it.
    """

    node: NodeInfo
    live: Live
    ports: Ports
    status: Status
    routes: Routes | None
    control: Callable[[Command, bytes], Awaitable[bytes]]
    manifest: Callable[[], Awaitable[Manifest]]
    sender: Callable[[str], Sender]

    @property
    def settings(self) -> Settings:
        """Those of this moment."""
        return self.live.now


class LocalServer:
    """See the module. It outlives the connections of its node."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._scanning = asyncio.Lock()
        self._looks: set[asyncio.Task[Manifest]] = set()
        self._next_look: asyncio.Task[Manifest] | None = None
        self.files = SendFile(services.settings, services.ports.threads, services.sender)
        self._listener: Listener | None = None
        self._clients: dict[str, LocalClientHandler] = {}
        services.status.gauge("local_clients", lambda: len(self._clients))
        self._log = task_logger(Tag.LOCAL_SERVER, services.node.name)

    async def run(self) -> None:
        """Serve until cancelled; a node whose socket cannot be made goes on without it."""
        try:
            self._listener = await self._listen()
        except TransportError as error:
            self._log.error("programs of this machine cannot ask this node: %s", error)
            return
        try:
            await self._close_the_silent()
        finally:
            self._listener.close()
            for look in self._looks:
                look.cancel()
            for client in list(self._clients.values()):
                client.channel.close("the node is stopping")

    async def _listen(self) -> Listener:
        settings, network = self.services.settings, self.services.ports.network
        path = settings.node.home.resolve() / settings.local.socket
        listener = await network.listen_local(path, self._accept, owner=owner_ids(settings.local.owner))
        self._log.info("listening at %s", path)
        return listener

    def admit(self, client: LocalClientHandler) -> str | None:
        """Give a client its name; ``None``, or the limit that was hit."""
        most = self.services.settings.limits.local_clients
        if len(self._clients) >= most:
            self.services.status.limit_hit("limits.local_clients")
            return f"this node has {counted(most, 'local client')} already (limits.local_clients)"
        while client.name in self._clients or not client.name:
            client.name = str(self.services.ports.random.randrange(_NAMES))
        self._clients[client.name] = client
        return None

    def leave(self, client: LocalClientHandler) -> None:
        """A client is gone, and with it what it waited for."""
        if self._clients.get(client.name) is client:
            del self._clients[client.name]
            if self.services.routes is not None:
                self.services.routes.left(client.name)

    async def hashes(self) -> Manifest:
        """What the tree holds: one look serves all who asked before it began, however many."""
        if self._next_look is None:
            self._next_look = look = asyncio.create_task(self._look())
            self._looks.add(look)
            look.add_done_callback(self._looked)
        return await asyncio.shield(self._next_look)

    async def _look(self) -> Manifest:
        async with self._scanning:
            self._next_look = None
            return await self.services.manifest()

    def _looked(self, look: asyncio.Task[Manifest]) -> None:
        self._looks.discard(look)
        if self._next_look is look:  # it was cancelled before it began: the next one to ask must not wait for it
            self._next_look = None
        if not look.cancelled():
            look.exception()  # whoever asked may have left

    def _accept(self) -> Channel:
        return LocalClientHandler(self).channel

    async def _close_the_silent(self) -> None:
        """Close connections whose last sign of life is too old; only ``echo-c`` is one (2.4).

        A program that waits for a daemon is spared: its request has a deadline, and then it has its answer.
        """
        ports, live = self.services.ports, self.services.live
        while True:
            await rest(ports, live, lambda settings: settings.intervals.master.check_worker_lastkeepalive)
            oldest = ports.monotonic() - live.now.intervals.master.max_allowed_time_without_keepalive
            for client in list(self._clients.values()):
                if client.last_keep_alive < oldest and not client.waits_for_a_daemon:
                    client.channel.close("no keep-alive came in time")
