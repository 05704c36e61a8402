"""Streams over TCP: out to a master, in from workers. IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from outrider.codes import Code
from outrider.errors import TransportError
from outrider.model import endpoint
from outrider.ports import Listener

_DIAL_TIMEOUT_S = 20
_BACKLOG = 1024
_KEEP_ALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
"""The kernel finds out about a peer that vanished: a second line behind the protocol's keep-alives."""


class TcpListener:
    """A bound server."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each bound address."""
        return [sock.getsockname()[:2] for sock in self._server.sockets]

    def close(self) -> None:
        """Accept no more."""
        self._server.close()


class TcpNetwork:
    """The part of :class:`outrider.ports.Network` that reaches other machines."""

    async def dial(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        """Connect to ``host``:``port``, whichever of its addresses answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                if isinstance(loop, asyncio.BaseEventLoop):
                    connecting = loop.create_connection(factory, host, port, happy_eyeballs_delay=0.25)
                else:  # a host's own loop (uvloop) tries one address after another, and knows no other way
                    connecting = loop.create_connection(factory, host, port)
                transport, protocol = await connecting
        except TimeoutError:
            raise TransportError(f"no answer within {_DIAL_TIMEOUT_S} s").coded(Code.NO_ANSWER) from None
        except OSError as error:
            raise TransportError(_reason(error)) from error
        transport.get_extra_info("socket").setsockopt(*_KEEP_ALIVE)
        return protocol

    async def listen(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> Listener:
        """Hand each connection to a protocol of its own; ``::`` takes IPv4 as well."""
        try:
            if host == "::":
                sock = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
                server = await asyncio.get_running_loop().create_server(factory, sock=sock)
            else:
                server = await asyncio.get_running_loop().create_server(factory, host, port, backlog=_BACKLOG)
        except OSError as error:
            raise TransportError(f"cannot listen on {endpoint(host, port)}: {_reason(error)}").coded(
                Code.CANNOT_LISTEN
            ) from error
        for door in server.sockets:
            door.setsockopt(*_KEEP_ALIVE)  # whoever is let in inherits it
        return TcpListener(server)


def _reason(error: OSError) -> str:
    """What the system said; asyncio puts the call that failed in its place."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
