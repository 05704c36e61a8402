"""One connection to wazuh-db: one request at a time, and no answer is ever taken for another's.

A connection on which a wait ended early, or anything came that nobody asked for, is closed: what
arrives on it later belongs to a question that nobody asks any more.
"""

from __future__ import annotations

import asyncio

from outrider.codes import Code
from outrider.errors import StoreBusyError, StoreError
from outrider.store.wazuh_db.frames import AnswerReader


class Connection(asyncio.Protocol):
    """See the module. ``daemon`` is who listens, for texts: others than wazuh-db speak this as well."""

    def __init__(self, daemon: str = "wazuh-db") -> None:
        self._daemon = daemon
        self._reader = AnswerReader()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and not self._reader.buffered

    async def ask(self, message: bytes) -> bytes:
        """Send a packed request and wait for its answer, however long that takes."""
        if self._transport is None or not self.usable:
            raise StoreBusyError(f"the connection to {self._daemon} is closed").coded(Code.NO_WAZUH_DB)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(message)
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the stream."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is no other

    def data_received(self, data: bytes) -> None:
        """Hand an answer to whoever waits for it."""
        try:
            for answer in self._reader.feed(data):
                if self._answer is None or self._answer.done():
                    self.close()
                    return
                self._answer.set_result(answer)
        except StoreError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        reason = f": {exc}" if exc else ""
        self._fail(
            StoreBusyError(f"{self._daemon} closed the connection before it had answered{reason}").coded(
                Code.NO_WAZUH_DB
            )
        )

    def _fail(self, error: StoreError) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
