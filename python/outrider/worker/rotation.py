"""The worker's half of the rotation of the cluster key: say which keys this node holds, do what the master says.

It asks when it has joined and whenever the master has news, and only inside TLS: the master serves nobody else.
What it is told is in its key file, durably, before it says so. It never rotates by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from outrider.codes import Code
from outrider.errors import ProtocolError, StoreError
from outrider.exchange.keys import Keys
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.protocol import commands as c
from outrider.protocol import rotation as r
from outrider.protocol.commands import Command
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.supervise import until
from outrider.transport.answers import Reply
from outrider.trying import Tries

_MOST_ORDERS: Final = 8
"""One after another, without news in between: a rotation has three steps."""
_AGAIN_S: Final = 60
"""At the most so long a node that could not write its key file waits before it tries again."""


class KeyStatus(Struct, frozen=True, kw_only=True):
    """The ids of the keys that this node holds, the one that it seals with first; why it cannot learn another."""

    holds: tuple[str, ...]
    cannot: str


class KeyLearning(Half["KeyTalk"]):
    """What outlives a connection: the keys."""

    def __init__(self, ground: NodeGround, keys: Keys, calls: Handlers) -> None:
        super().__init__()
        calls.call("outrider.key_status")(self.status)
        self.ground = ground
        self.keys = keys

    def talk(self, link: LinkGround) -> KeyTalk:
        """A connection to the master."""
        return KeyTalk(self, link)

    async def status(self, context: Context) -> KeyStatus:
        """How the keys of this node stand."""
        context.only_local()
        return KeyStatus(holds=self.keys.ids, cannot=self.keys.cannot)


class KeyTalk(Talk):
    """What is said of keys over one connection."""

    def __init__(self, half: KeyLearning, link: LinkGround) -> None:
        self._keys = half.keys
        self._session = link.session
        self._ports = link.node.ports
        self._status = link.status
        self._news = asyncio.Event()
        self._log = task_logger(Tag.CLUSTER, half.ground.node.name, peer=lambda: link.session.channel.address)

    def serves(self) -> Mapping[Command, Serve]:
        """The master has news; they are asked for, never taken from a request."""
        return {c.KEY_NEWS: self._wake}

    def tasks(self) -> Sequence[Task]:
        """As long as the connection stands, and it is extended."""
        return [("Key rotation", self.run)]

    async def run(self) -> None:
        """Ask now and whenever there are news; if this node could not follow, again, as everything is tried again."""
        tries = Tries("Key file", self._ports, self._log, self._status, base_s=0.5, cap_s=_AGAIN_S)
        with tries:
            while True:
                self._news.clear()
                try:
                    await self._learn()
                except StoreError as error:
                    tries.failed(error)
                    await until(self._news, tries.pause())
                else:
                    tries.worked()
                    await self._news.wait()

    def _wake(self, _: bytes) -> Reply:
        self._news.set()
        return Reply(b"")

    async def _learn(self) -> None:
        """Do what there is to do; :class:`StoreError`, of which the master has heard, if the disk is in the way."""
        cannot, hindered = self._keys.cannot, None
        for _ in range(_MOST_ORDERS):
            standing = r.Standing(holds=self._keys.ids, cannot=cannot)
            payload = await self._session.request(c.KEY_STANDS, r.encode(standing))
            if hindered is not None:
                raise hindered
            try:
                order = r.decode_order(payload)
                if order is None or cannot:
                    return
                ring = order.of(self._keys.held)
            except ValueError as error:
                raise ProtocolError(f"the master's order for the cluster key cannot be read: {error}").coded(
                    Code.UNREADABLE_DATA
                ) from error
            try:
                await self._keys.keep(ring, self._keys.ring.retired)
            except StoreError as error:
                cannot, hindered = str(error)[: r.MOST_WORDS], error
            else:
                self._log.warning(
                    "the cluster key is being rotated: %s, this node seals with %s", order.step, self._keys.ids[0]
                )
