"""A client of a running wazuh-db (specification 6.1, 6.2): a few connections, opened when needed.

The daemon serves everybody with eight threads, so that we keep at most ``agents.wazuh_db_connections`` of them busy.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from outrider.codes import Code
from outrider.errors import Awaits, StoreBusyError, TransportError
from outrider.ports import Network
from outrider.store.wazuh_db.connection import Connection
from outrider.store.wazuh_db.frames import pack_request
from outrider.store.wazuh_db.replies import Reply, failure, read_reply

READ_AGENTS = b"global sync-agent-info-get "
READ_GROUPS = b"global sync-agent-groups-get "
_DUE_IS_ALL = (READ_AGENTS, READ_GROUPS)
"""Commands whose ``due`` is the whole answer; others may send more frames after it, until one is ``ok``."""


class NotSentError(StoreBusyError):
    """The request never reached wazuh-db: nothing was done."""

    situation = Code.NO_WAZUH_DB


class Client:
    """See the module."""

    def __init__(self, network: Network, path: Path, *, connections: int, timeout_s: float) -> None:
        self._network = network
        self._path = path
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._closed = False

    async def ask(self, request: bytes) -> Reply:
        """What wazuh-db replies, if that is ``ok`` or ``due``; else the error that it is."""
        reply = await self.request(request)
        if reply.status not in {"ok", "due"}:
            raise failure(reply)
        return reply

    async def request(self, request: bytes) -> Reply:
        """What wazuh-db replies, its ``err`` too: the first frame of it.

        :class:`StoreBusyError` if it cannot be reached, closes early or takes longer than allowed, the
        wait for a free connection included.
        """
        message = pack_request(request)
        sent = False
        try:
            async with asyncio.timeout(self._timeout_s), self._places:
                connection = await self._connection()
                sent = True
                return await self._exchange(connection, request, message)
        except TimeoutError:
            limit = f"{self._timeout_s:g} s (agents.database_timeout)"
            if sent:
                raise StoreBusyError(f"wazuh-db did not answer within {limit}").coded(Code.NO_WAZUH_DB) from None
            raise NotSentError(f"no connection to wazuh-db was free within {limit}") from None

    async def close(self) -> None:
        """Close every connection; whoever still waits is told so."""
        self._closed = True
        for connection in self._open:
            connection.close()
        self._idle.clear()
        self._open.clear()
        await asyncio.sleep(0)  # an aborted stream closes its socket in the loop's next step

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._drop(connection)
        if self._closed:
            raise NotSentError("the store is closed")
        try:
            connection = Connection()
            await self._network.dial_local(self._path, lambda: connection)
        except TransportError as error:
            raise NotSentError(
                f"cannot reach wazuh-db at {self._path} (agents.wazuh_db_socket): {error}; is it running?"
            ).until(Awaits("socket", str(self._path))) from error
        self._open.add(connection)
        return connection

    async def _exchange(self, connection: Connection, request: bytes, message: bytes) -> Reply:
        reply = None
        try:
            reply = read_reply(await connection.ask(message))
        finally:
            whole = reply is not None and (reply.status != "due" or request.startswith(_DUE_IS_ALL))
            if whole and connection.usable and not self._closed:
                self._idle.append(connection)
            else:
                self._drop(connection)
        return reply

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._open.discard(connection)
