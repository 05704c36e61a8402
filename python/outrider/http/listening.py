"""The node's own HTTP server: uvicorn's reader of HTTP on a port of ours, for as long as its node runs.

uvicorn's server stays out of it: that one takes the process's signals, and ends it when a port is taken. Here a port
that is taken is tried again; the node goes on meanwhile, and its status says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from outrider.http import application
from outrider.http.watched import Watched
from outrider.logs import Tag, task_logger
from outrider.model import endpoint
from outrider.settings.checks import is_loopback
from outrider.supervise import within

_LIVES_S: Final = 60.0
"""A connection ends at the first pause after so long, or at once if no whole request has come: nobody keeps one of the
few for himself by saying nothing."""
_DIES_S: Final = 90.0
"""And then in any case, whoever does not read his answer."""
_GOODBYE_S: Final = 2.0
"""What is being answered when the node stops may take so long."""


class HttpServer:
    """See the module. ``addresses`` are bound while it runs."""

    def __init__(self, node: Watched) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._node = node
        self._settings = node.settings.http
        self._log = task_logger(Tag.HTTP, node.settings.node.name)
        self._state = ServerState()
        # Nothing here configures logging, and there is no access log: who looks at a node is no news.
        self._config = Config(
            application(node),
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
        )
        self._config.load()

    async def run(self) -> None:
        """Serve until cancelled; :class:`TransportError` if the port is taken."""
        settings = self._settings
        listener = await self._node.ports.network.listen(settings.bind_addr, settings.port, self._accept)
        self.addresses = listener.addresses
        shown = ", ".join(f"http://{endpoint(host, port)}/" for host, port in self.addresses)
        self._log.info("the page is at %s", shown)
        if not is_loopback(settings.bind_addr):
            self._log.warning("whoever reaches that address may read it all, unasked (http.bind_addr)")
        try:
            await asyncio.Event().wait()
        finally:
            listener.close()
            self.addresses = []
            await self._end()

    async def _end(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await within(_GOODBYE_S, asyncio.wait(list(self._state.tasks)))
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def _accept(self) -> Visitor:
        return Visitor(self._config, self._state, most=self._settings.connections, full=self._full)

    def _full(self) -> None:
        self._node.status.limit_hit("http.connections")


class _Discreet(logging.Logger):
    """What a visitor sends wrong is for the debugging log: anybody who comes could fill another."""

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A line of uvicorn's about a request."""
        self.debug(msg, *args, **kwargs)


_log = _Discreet("outrider.http")
_log.parent = logging.getLogger("outrider")


class Visitor(H11Protocol):
    """One connection; one that is too many is closed at once, and none lives long."""

    def __init__(self, config: Config, state: ServerState, *, most: int, full: Callable[[], None]) -> None:
        super().__init__(config, state, {})
        self.access_log = False
        self.logger = _log
        self._most = most
        self._full = full
        self._ends: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody came."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._full()
            transport.abort()
            return
        self._ends = [self.loop.call_later(_LIVES_S, self.shutdown), self.loop.call_later(_DIES_S, transport.abort)]

    def connection_lost(self, exc: Exception | None) -> None:
        """And is gone."""
        for timer in self._ends:
            timer.cancel()
        super().connection_lost(exc)
