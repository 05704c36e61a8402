"""The worker's half of an extended link: after an accepted hello it probes the master, then turns the link to TLS.

Nothing but the probe and ``start_tls`` leaves meanwhile. An old master answers the probe with
``unknown command`` and never hears of it again (specification 7.4).
"""

from __future__ import annotations

from outrider.errors import (
    Awaits,
    ConnectionLostError,
    NotExtendedError,
    ProtocolError,
    RefusedByPeer,
    TransportError,
)
from outrider.exchange.extension import Extended, Extension
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

    async def extend(self) -> None:
        """Find out what the master can do, and do it; the session is known, extended or not, when this returns.

        :class:`NotExtendedError` if it can do less than it must, :class:`TransportError` or
        :class:`PeerError` if that cannot be found out: the link must end then.
        """
        extension = self._extension
        if extension is None:
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
        else:
            await self._secure(extension, theirs, agreement)

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
            raise ProtocolError(f"the master's answer to the probe cannot be read: {error}") from error

    async def _stay(self, extension: Extension, why: str) -> None:
        """The base protocol it is, if that may be."""
        known = await self._ports.threads.run(extension.peers.master, self._address)
        if known is None and not extension.required:
            self._log.info("the link stays with the base protocol: %s", why)
            self._session.channel.let_go()
            return
        self._status.count("peers_not_extended")
        if known is None:
            raise NotExtendedError(
                f"the master at {self._address} must speak the extended protocol (link.require), and does not: {why}; "
                "run Outrider there, or set link.require = any"
            )
        raise NotExtendedError(
            f"the master at {self._address} ({known.name}) was seen to speak the extended protocol, and now does not: "
            f"{why}; either somebody changes what it says, or it was replaced: then run here: "
            f"outrider peer forget {known.name}"
        ).until(Awaits("file", str(extension.peers.file)))

    async def _secure(self, extension: Extension, theirs: Abilities, agreement: Agreement) -> None:
        session = self._session

        def done() -> None:
            session.extended = Extended(theirs.node, theirs.version, agreement.number, agreement.features)

        await session.start_tls(extension.turn(theirs, server=False, done=done))
        try:  # in TLS 1.3 a client is done before the server has looked at its certificate
            await session.request(ECHO, b"do you believe me?")
        except ConnectionLostError as error:
            raise TransportError(f"the master ended the link as TLS began; its log says why ({error})") from error
        self._log.info(
            "the link is extended: TLS 1.3 with %s, version %s, protocol %d",
            theirs.node,
            theirs.version,
            agreement.number,
        )
        await extension.remember("master", theirs, self._address, self._log)
