"""The worker's half of identity: it keeps whom the cluster trusts, and asks for its next certificate in time.

At each new link it asks whom to trust, since it may have been away when that changed; from then on its master tells
it. It renews when a third of its certificate's time is left, or when the authority is being replaced, with a new key
that is made here. A new certificate is shown in the next handshake; the link that stands stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.errors import Refusal
from outrider.exchange.credentials import LOOK_S, Credentials
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.protocol import faults
from outrider.protocol.certificates import make_request
from outrider.protocol.commands import CA_RENEW, CA_TRUST, Command
from outrider.protocol.joining import Granted, Renewal, Trusted, decode, encode
from outrider.transport.answers import Reply
from outrider.trying import Tries

_ASK_AGAIN_S = 5.0
"""How often a node looks whether it is time: soon, since an authority may be replaced at any moment."""


class Identity(Half["IdentityTalk"]):
    """See the module."""

    def __init__(self, ground: NodeGround, *, credentials: Credentials) -> None:
        super().__init__()
        self.credentials = credentials
        self._ports = ground.ports
        self._status = ground.status
        self._acted = credentials.version
        self._log = task_logger(Tag.IDENTITY, ground.node.name)

    def tasks(self) -> Sequence[Task]:
        """Look, again and again."""
        return [(Tag.IDENTITY, self._watch)]

    def talk(self, link: LinkGround) -> IdentityTalk:
        """The part of one connection."""
        return IdentityTalk(self.credentials, link)

    async def _watch(self) -> None:
        with Tries(Tag.IDENTITY, self._ports, self._log, self._status, base_s=LOOK_S, cap_s=LOOK_S) as tries:
            while True:
                await self._ports.sleep(LOOK_S)
                await self.credentials.look_again(tries, self._log)
                if self.credentials.version != self._acted:
                    self._acted = self.credentials.version
                    for talk in list(self.talks.values()):
                        await talk.cut_if_untrusted()


class IdentityTalk(Talk):
    """One connection to the master."""

    def __init__(self, credentials: Credentials, link: LinkGround) -> None:
        self._credentials = credentials
        self._session = link.session
        self._status = link.status
        self._ports = link.node.ports
        self._log = task_logger(Tag.IDENTITY, link.node.node.name, peer=lambda: link.session.channel.address)

    def serves(self) -> Mapping[Command, Serve]:
        """What the master tells."""
        return {CA_TRUST: self._take_trust}

    def tasks(self) -> Sequence[Task]:
        """Ask whom to trust; renew in time."""
        return [(Tag.IDENTITY, self._renew_in_time)]

    async def cut_if_untrusted(self) -> None:
        """End the link to a master whose certificate has been revoked, or has lost its authority."""
        peer = self._session.extended
        if peer is None or not peer.vouched or not self._session.channel.is_open:
            return
        if why := await self._ports.threads.run(self._credentials.objection, peer.shown):
            self._log.warning("the link to %s is cut: %s", peer.node, why)
            self._status.count("identities_cut")
            self._session.channel.abandon(f"the master is not trusted any more: {why}")

    @property
    def _vouched(self) -> bool:
        return self._session.extended is not None and self._session.extended.vouched

    def _take_trust(self, payload: bytes) -> Awaitable[Reply]:
        """It is taken although the link ends with these words: then they say why."""
        if not self._vouched:
            raise Refusal(faults.INTERNAL, "only a master with a certificate of the authority may say whom to trust")
        taking = asyncio.ensure_future(self._credentials.take_trust(decode(payload, Trusted).trust))
        taking.add_done_callback(lambda taken: taken.cancelled() or taken.exception())

        async def taken() -> Reply:
            await asyncio.wait([taking])
            taking.result()
            return Reply(b"trusted")

        return taken()

    async def _renew_in_time(self) -> None:
        if not self._vouched:
            return
        await self._ask("")
        while True:
            held, trust = self._credentials.holder, self._credentials.trust
            if held is not None and trust is not None and held.due(trust.fingerprint, self._ports.wall()):
                await self._renew(held.name)
            await self._ports.sleep(_ASK_AGAIN_S)

    async def _renew(self, name: str) -> None:
        key = Ed25519PrivateKey.from_private_bytes(self._ports.random.randbytes(32))
        granted = await self._ask(make_request(key, name))
        await self._credentials.replace(key, granted.certificate)
        self._log.info("this node has its next certificate")

    async def _ask(self, request: str) -> Granted:
        """The next certificate for a request, none for an empty one; whom to trust is taken in any case."""
        answer = await self._session.request(CA_RENEW, encode(Renewal(request)))
        try:
            granted = decode(answer, Granted)
        except ValueError as error:  # msgspec's are ValueErrors
            raise Refusal(faults.INTERNAL, f"the master's answer to a renewal cannot be read: {error}") from error
        await self._credentials.take_trust(granted.trust)
        return granted
