"""The worker's half of an extended link: after an accepted hello it probes the master, then turns the link to TLS.

Nothing but the probe and ``start_tls`` leaves meanwhile. An old master answers the probe with
``unknown command`` and never hears of it again (specification 7.4). Where ``link.tls`` demands it, the stream opens
with TLS, and hello and the probe are said inside.
"""

from __future__ import annotations

from functools import partial

from outrider.codes import Code
from outrider.errors import (
    Awaits,
    ConnectionLostError,
    NotExtendedError,
    ProtocolError,
    RefusedByPeer,
    TransportError,
)
from outrider.exchange.extension import Extension
from outrider.exchange.session import Session
from outrider.logs import TaskLogger
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.abilities import Abilities, Agreement
from outrider.protocol.commands import ECHO, PROBE
from outrider.status import Status

_OLD = "it does not know the probe"


class MasterExtension:
    """The link to the master at ``address``; without an ``extension`` it stays what it is."""

    def __init__(
        self,
        session: Session,
        extension: Extension | None,
        address: str,
        *,
        ports: Ports,
        status: Status,
        log: TaskLogger,
    ) -> None:
        self._session = session
        self._extension = extension
        self._address = address
        self._ports = ports
        self._status = status
        self._log = log
        if extension is not None:
            session.channel.connection.hold_back()
            session.channel.opening = extension.opening(server=False, done=lambda: None)

    async def extend(self) -> None:
        """Find out what the master can do, and do it; the session is known, extended or not, when this returns.

        :class:`NotExtendedError` if it can do less than it must, :class:`TransportError` or
        :class:`PeerError` if that cannot be found out: the link must end then.
        """
        extension = self._extension
        if extension is None:
            self._log.info("base link, sealed with the cluster key alone (link.require = base)")
            return
        theirs = await self._probe(extension)
        if isinstance(theirs, str):
            await self._stay(extension, theirs)
            return
        try:
            agreement = extension.meet(theirs)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if agreement is None:
            await self._stay(extension, extension.apart(theirs))
            return
        if self._session.channel.opened:
            self._check_name(extension, theirs)
            self._extend(extension, theirs, agreement)
        else:
            await self._check_proof(extension, theirs)
            await self._secure(extension, theirs, agreement)
        await self._tell(extension)

    async def _probe(self, extension: Extension) -> Abilities | str:
        """What the master says of itself, or why it says nothing."""
        try:
            answer = await self._session.request(PROBE, extension.abilities.encode())
            return Abilities.decode(answer)
        except RefusedByPeer as refusal:
            if refusal.code != faults.GENERIC or not (refusal.detail or "").startswith("unknown command"):
                raise
            return _OLD
        except ValueError as error:
            raise ProtocolError(f"the master's answer to the probe cannot be read: {error}").coded(
                Code.UNREADABLE_DATA
            ) from error

    async def _stay(self, extension: Extension, why: str) -> None:
        """The base protocol it is, if that may be."""
        known = await self._ports.threads.run(extension.peers.master, self._address)
        if known is None and not extension.required:
            self._log.info("base link, sealed with the cluster key alone: %s", why)
            self._session.channel.let_go()
            return
        self._status.count("peers_not_extended")
        if known is None:
            raise NotExtendedError(
                f"the master at {self._address} must speak the extended protocol (link.require), and does not: {why}; "
                "run Outrider there, or set link.require = any"
            )
        changed = NotExtendedError(
            f"the master at {self._address} ({known.name}) was seen to speak the extended protocol, and now does not: "
            f"{why}; either somebody changes what it says, or it was replaced: then run here: "
            f"outrider peer forget {known.name}"
        ).coded(Code.PEER_CHANGED)
        raise changed.until(Awaits("file", str(extension.peers.file)))

    def _check_name(self, extension: Extension, theirs: Abilities) -> None:
        """Inside TLS from the first byte the certificate came first: now the master says who it is."""
        try:
            named = extension.credentials.who(self._session.channel.shown or b"").name
        except ValueError as error:
            raise TransportError(f"this node refuses the master: {error}").coded(Code.PEER_NOT_TRUSTED) from error
        if named != theirs.node:
            self._status.count("identities_refused")
            raise TransportError(
                f"this node refuses the master: its certificate names {named}, and it says that it is {theirs.node}"
            ).coded(Code.PEER_NOT_TRUSTED)

    async def _check_proof(self, extension: Extension, theirs: Abilities) -> None:
        """A master that the authority has vouched for once is not taken at the cluster key's word."""
        known = await self._ports.threads.run(extension.peers.master, self._address)
        if known is not None and known.proof == "ca" and isinstance(extension.trusted(theirs), str):
            self._status.count("identities_refused")
            changed = NotExtendedError(
                f"the master at {self._address} has shown a certificate of the cluster's authority, and now shows "
                f"none; either somebody stands in its place, or it was replaced: then run here: "
                f"outrider peer forget {known.name}"
            ).coded(Code.PEER_CHANGED)
            raise changed.until(Awaits("file", str(extension.peers.file)))

    def _extend(self, extension: Extension, theirs: Abilities, agreement: Agreement) -> None:
        channel = self._session.channel
        if why := extension.objection(theirs, channel.shown, opened=channel.opened):
            self._status.count("identities_refused")
            channel.close(f"this node refuses the master: {why}")
            return
        self._session.extended = extension.met(theirs, agreement, channel.shown)

    async def _secure(self, extension: Extension, theirs: Abilities, agreement: Agreement) -> None:
        session = self._session
        done = partial(self._extend, extension, theirs, agreement)
        await session.start_tls(extension.turn(theirs, server=False, done=done))
        try:  # in TLS 1.3 a client is done before the server has looked at its certificate
            await session.request(ECHO, b"do you believe me?")
        except ConnectionLostError as error:
            why = extension.credentials.guess()
            raise TransportError(f"the master ended the link as TLS began; {why} ({error})").coded(Code.TLS) from error

    async def _tell(self, extension: Extension) -> None:
        peer = self._session.extended
        assert peer is not None  # noqa: S101  (who tells has extended the link)
        self._log.info(
            "the link is extended: TLS 1.3 with %s, version %s, protocol %d, vouched for by %s",
            peer.node,
            peer.version,
            peer.protocol,
            peer.voucher,
        )
        await extension.remember("master", peer, self._address, self._log)
