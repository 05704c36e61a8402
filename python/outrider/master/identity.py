"""The master's half of identity: it holds the authority's word up to date, hands it on, renews, and cuts who lost it.

Whether a file of the authority has changed is looked at every few seconds: a person may have revoked a node, or begun
to replace the authority itself. Each worker that has a certificate hears of it over its extended link. During such a
replacement the master shows its old certificate until the old authority goes: a worker that was away still trusts that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.errors import OutriderError, Refusal, StoreError
from outrider.exchange.credentials import LOOK_S, Credentials
from outrider.exchange.extension import Extended
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.master.joining import told
from outrider.protocol import faults
from outrider.protocol.certificates import Holder, Trust, make_request
from outrider.protocol.commands import CA_RENEW, CA_TRUST, Command
from outrider.protocol.joining import Granted, Renewal, Trusted, decode, encode
from outrider.transport.answers import Reply
from outrider.trying import Tries

_REASONS = 4
"""Why one worker gets no new certificate, as often as the log hears of it over one link."""


class Identity(Half["IdentityTalk"]):
    """See the module."""

    def __init__(self, ground: NodeGround, *, credentials: Credentials) -> None:
        super().__init__()
        self.credentials = credentials
        self._ground = ground
        self._log = task_logger(Tag.IDENTITY, ground.node.name)
        self._told = ""
        self._acted = credentials.version

    def tasks(self) -> Sequence[Task]:
        """Look, again and again."""
        return [(Tag.IDENTITY, self._watch)]

    def talk(self, link: LinkGround) -> IdentityTalk:
        """One worker's part."""
        return IdentityTalk(self, link)

    async def _watch(self) -> None:
        ports = self._ground.ports
        with Tries(Tag.IDENTITY, ports, self._log, self._ground.status, base_s=LOOK_S, cap_s=LOOK_S) as tries:
            while True:
                await ports.sleep(LOOK_S)
                await self._keep()
                await self.credentials.look_again(tries, self._log)
                if self.credentials.version != self._acted:
                    self._acted = self.credentials.version
                    for talk in list(self.talks.values()):
                        await talk.cut_or_tell()

    async def _keep(self) -> None:
        """What falls due at the authority. Whatever hinders it, revocations are looked at afterwards."""
        try:
            hindered = await self._keep_up()
        except StoreError as error:
            hindered = str(error)
        if hindered and hindered != self._told:  # a person must come: no line every two seconds
            self._log.error("%s", hindered)
        self._told = hindered
        self._ground.status.note("authority", hindered or None)

    async def _keep_up(self) -> str:
        """The end of an old authority, and this node's own next certificate; why it gets none, if it does not."""
        credentials, ports = self.credentials, self._ground.ports
        held, trust = credentials.holder, credentials.trust
        if not credentials.signs or trust is None:
            return ""
        replacing = len(trust.authorities) > 1
        if replacing and not await ports.threads.run(credentials.authority.outlived, ports.wall()):
            return ""
        hindered = ""
        if held is not None and held.due(trust.fingerprint, ports.wall()):
            hindered = await self._renew_own(held)  # before nobody takes the old one any more
        if replacing:
            await ports.threads.run(credentials.authority.finish, ports.wall())
            self._log.warning("the old authority is dropped: certificates of it are good no more")
        return hindered

    async def _renew_own(self, held: Holder) -> str:
        """Take the next certificate; why there is none, as for a master that has been revoked."""
        ports = self._ground.ports
        key = Ed25519PrivateKey.from_private_bytes(ports.random.randbytes(32))
        request = make_request(key, held.name)
        try:
            certificate = await ports.threads.run(self.credentials.authority.renew, held, request, ports.wall())
        except ValueError as error:
            return (
                f"this node gets no next certificate: {error}; `outrider ca issue {held.name} --role master` makes one"
            )
        await self.credentials.replace(key, certificate)
        self._log.info("this node has its next certificate")
        return ""


class IdentityTalk(Talk):
    """One worker's certificate."""

    def __init__(self, half: Identity, link: LinkGround) -> None:
        self._half = half
        self._credentials = half.credentials
        self._session = link.session
        self._status = link.status
        self._supervisor = link.supervisor
        self._ports = link.node.ports
        self._told: set[str] = set()
        self._log = task_logger(Tag.IDENTITY, link.node.node.name, peer=lambda: link.session.worker)

    def serves(self) -> Mapping[Command, Serve]:
        """Renewals."""
        return {CA_RENEW: self._renew}

    async def cut_or_tell(self) -> None:
        """End the link of a worker that is revoked, or has lost its authority; the others hear whom to trust now."""
        peer, trust = self._session.extended, self._credentials.trust
        if trust is None or peer is None or not peer.vouched or not self._session.channel.is_open:
            return
        if why := await self._ports.threads.run(self._credentials.objection, peer.shown):
            self._log.warning("%s is cut off: %s", peer.node, why)
            self._status.count("identities_cut")
            self._session.tell_last(CA_TRUST, encode(Trusted(trust.text)))  # no secret, and it says why the link ends
            self._session.channel.abandon(f"{peer.node} is cut off: {why}")
        else:
            self._supervisor.start("tell whom to trust", self._tell(peer, trust))

    async def _tell(self, peer: Extended, trust: Trust) -> None:
        """A worker that does not hear it asks when it comes again."""
        try:
            await self._session.request(CA_TRUST, encode(Trusted(trust.text)))
        except OutriderError as error:
            self._log.warning("%s has not taken whom the cluster trusts: %s", peer.node, error)

    async def _renew(self, payload: bytes) -> Reply:
        peer, credentials = self._session.extended, self._credentials
        if peer is None or not peer.vouched or credentials.trust is None:
            raise Refusal(faults.INTERNAL, "only a node with a certificate of the authority gets the next one")
        trust = credentials.trust.text
        try:
            wish = decode(payload, Renewal)
            if not wish.request:  # it only asks whom to trust
                return Reply(encode(Granted("", trust)))
            held = credentials.who(peer.shown)
            certificate = await self._ports.threads.run(
                credentials.authority.renew, held, wish.request, self._ports.wall()
            )
        except (ValueError, StoreError) as error:  # msgspec's are ValueErrors
            self._refused(peer, str(error))
            raise Refusal(faults.INTERNAL, f"no new certificate: {told(error)}") from error
        self._log.info("%s has its next certificate", peer.node)
        return Reply(encode(Granted(certificate, trust)))

    def _refused(self, peer: Extended, why: str) -> None:
        """Count it; the log hears each reason once in a link, and not many of them: the worker may ask on and on."""
        self._status.count("renewals_refused")
        if why not in self._told and len(self._told) < _REASONS:
            self._told.add(why)
            self._log.warning("%s gets no new certificate: %s", peer.node, why)
