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
from outrider.settings import Http
from outrider.settings.checks import is_loopback
from outrider.supervise import within

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
        return Visitor(self._config, self._state, self._settings, self._hit)

    def _hit(self, limit: str) -> None:
        self._node.status.limit_hit(limit)
        self._log.debug("a connection was closed (%s)", limit)


class _Discreet(logging.Logger):
    """What a visitor sends wrong is for the debugging log: anybody who comes could fill another."""

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A line of uvicorn's about a request."""
        self.debug(msg, *args, **kwargs)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the name is the library's
        """Asked anew each time: ``log.level`` may change, and a logger that is not registered would not hear of it."""
        return _OURS.isEnabledFor(level)


_OURS: Final = logging.getLogger("outrider")
_log = _Discreet("outrider.http")
_log.parent = _OURS


class Visitor(H11Protocol):
    """One connection; one that is too many is closed at once, and none lives long.

    It ends at the first pause after ``http.connection_s``, or at once if no whole request has come, so that nobody
    keeps one of the few for himself by saying nothing; and half as long afterwards in any case, whoever does not read
    his answer.
    """

    def __init__(self, config: Config, state: ServerState, settings: Http, hit: Callable[[str], None]) -> None:
        super().__init__(config, state, {})
        self.access_log = False
        self.logger = _log
        self._settings = settings
        self._hit = hit
        self._ends: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody came."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.connections:
            self._hit("http.connections")
            transport.abort()
            return
        lives = self._settings.connection_s
        self._ends = [self.loop.call_later(lives, self._age), self.loop.call_later(lives * 1.5, self._die)]

    def connection_lost(self, exc: Exception | None) -> None:
        """And is gone."""
        for timer in self._ends:
            timer.cancel()
        super().connection_lost(exc)

    def _age(self) -> None:
        asked = self.cycle is not None  # by its type it is never None
        if not asked:
            self._hit("http.connection_s")
        self.shutdown()

    def _die(self) -> None:
        self._hit("http.connection_s")
        self.transport.abort()
