"""A bundle on its way to a worker: pulled part by part, applied as it comes, resumed where a lost link cut it.

A large one is unpacked and staged in a thread while the rest of it arrives. Nothing of the tree changes before the
last byte has come and every digest is known.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from outrider.errors import OutriderError, SyncError, TransportError
from outrider.exchange.session import Session
from outrider.ports import Ports
from outrider.protocol.commands import GEN_READ
from outrider.protocol.generations import PART_BYTES, Offer, Read, decode_part, encode
from outrider.store.tree import Applied, BundleFeed
from outrider.worker.pace import Pace

_ENOUGH: Final = 1 << 20
"""Bytes with which the apply begins if they are not all: for less no thread has to wait."""


class Fetch:
    """One bundle; ``apply`` begins the work that reads ``feed``. Both outlive a connection."""

    def __init__(self, offer: Offer, feed: BundleFeed, apply: Callable[[], Awaitable[Applied]], ports: Ports) -> None:
        self.ticket = offer.ticket
        self.received = 0
        self._whole = False
        self._feed = feed
        self._ports = ports
        self._apply = apply
        self._applying: asyncio.Future[Applied] | None = None
        self._writing = self._write(memoryview(offer.data), last=offer.whole)

    async def pull(self, session: Session) -> Applied:
        """Pull what is missing, and return what the apply came to.

        When the link is lost, or the caller cancelled, :meth:`pull` may go on over the next one. Any other error is
        the end of it.
        """
        try:
            await asyncio.shield(self._writing)
            if not self._whole:
                await self._read(session)
            return await asyncio.shield(self._begun())
        except TransportError:
            raise
        except (OutriderError, ValueError):
            await self.give_up()
            raise

    async def give_up(self) -> None:
        """Nothing more comes: the apply ends, and the tree is as it was."""
        self._feed.fail("the transfer was given up")
        ends = [self._writing] if self._applying is None else [self._writing, self._applying]
        await asyncio.gather(*ends, return_exceptions=True)

    async def _read(self, session: Session) -> None:
        under_way: deque[tuple[float, asyncio.Future[bytes]]] = deque()
        asked, pace, now = self.received, Pace(), self._ports.monotonic
        try:
            while not self._whole:
                while len(under_way) < pace.most:
                    under_way.append((now(), session.request(GEN_READ, encode(Read(self.ticket, asked)))))
                    asked += PART_BYTES
                since, answer = under_way.popleft()
                data, last = decode_part(await answer)
                pace.came(now() - since)
                if not data and not last:  # the master is still packing, and the parts behind this one wait as well
                    asked = self.received
                    _drop(under_way)
                    continue
                self._writing = self._write(data, last=last)
                await asyncio.shield(self._writing)
        finally:
            _drop(under_way)

    def _write(self, data: memoryview, *, last: bool) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._write_part(data, last=last))

    async def _write_part(self, data: memoryview, *, last: bool) -> None:
        """To its end even if nobody waits for it any more: a part counts exactly if the feed has it."""
        if not await self._ports.threads.run(self._feed.write, bytes(data)):
            if self._applying is not None:  # it has ended by itself, and says why
                await asyncio.shield(self._applying)
            raise SyncError("the apply takes no more of the bundle")
        self.received += len(data)
        if last:
            self._feed.finish()
            self._whole = True
        elif self.received >= _ENOUGH:
            self._begun()

    def _begun(self) -> asyncio.Future[Applied]:
        if self._applying is None:
            self._applying = asyncio.ensure_future(self._apply())
        return self._applying


def _drop(answers: deque[tuple[float, asyncio.Future[bytes]]]) -> None:
    for _, answer in answers:
        answer.cancel()
    answers.clear()
