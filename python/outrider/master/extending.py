"""The master's half of an extended link: it answers a worker's probe, turns to TLS, and refuses who steps back.

A worker that must be extended, by the settings or since it was seen so, may do nothing but that. It
probes right after hello, so whoever begins with anything else is an old worker, or made to look like one.

A name belongs to an identity: to whomever the cluster's authority has given it, or, without one, to the certificate
that has been seen under it. Another one is refused, and inherits nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from outrider.errors import Refusal
from outrider.exchange.extension import Extended, Extension
from outrider.exchange.session import Serve, Session
from outrider.logs import TaskLogger
from outrider.ports import Authorities, Ports
from outrider.protocol import faults
from outrider.protocol.abilities import Abilities, Agreement
from outrider.protocol.commands import ECHO, HELLO, PROBE, START_TLS, Command
from outrider.status import Status
from outrider.store.identity import fingerprint
from outrider.store.peers import Peer
from outrider.supervise import Supervisor
from outrider.transport.answers import Reply

NOT_ITSELF: Final = "the peer is not "
"""How the reason begins why the link of somebody ended who says another's name."""
NOT_EXTENDED: Final = "the worker speaks no extended protocol: "
"""The same of a worker that must be extended and is not."""
_INTRODUCTIONS = (ECHO, HELLO, PROBE, START_TLS)


class WorkerExtension:
    """One worker's link; without an ``extension`` it stays what it is, and the probe is an unknown command.

    ``proven`` is called when it is extended, before anything else is heard.
    """

    def __init__(
        self,
        session: Session,
        extension: Extension | None,
        *,
        ports: Ports,
        status: Status,
        supervisor: Supervisor,
        log: TaskLogger,
        proven: Callable[[Extended], None],
    ) -> None:
        self._session = session
        self._extension = extension
        self._ports = ports
        self._status = status
        self._supervisor = supervisor
        self._log = log
        self._tell_proven = proven
        self._theirs: Abilities | None = None
        self._agreement: Agreement | None = None
        self._turning = False  # TLS has a deadline of its own
        self._must = ""  # why the base protocol is not enough
        self._told = False  # whether the log knows that this is a base link
        self._known: Peer | None = None
        if extension is not None:
            session.channel.opening = extension.opening(server=True, done=self._opened)

    def serves(self) -> dict[Command, Serve]:
        """The two commands, and who answers them."""
        if self._extension is None:
            return {}
        extension = self._extension
        return {
            PROBE: lambda payload: self._probe(extension, payload),
            START_TLS: lambda _: self._start_tls(extension),
        }

    def admit(self, name: str) -> bool:
        """Whether a peer that says hello as ``name`` has proved that already; :class:`Refusal` if it is another."""
        channel = self._session.channel
        if self._extension is None or not channel.opened:
            return False
        if channel.shown is None:
            raise Refusal(faults.INTERNAL, "a node without a certificate may join (`outrider join`), and nothing else")
        try:
            named = self._extension.credentials.who(channel.shown).name
        except ValueError as error:
            raise self._stranger(name, str(error)) from error
        if named != name:
            raise self._stranger(name, f"its certificate names {named}")
        return True

    async def expect(self, name: str) -> None:
        """Before the worker ``name`` is let in: learn whether it must be extended, and by when."""
        extension = self._extension
        if extension is None:
            return
        self._known = await self._ports.threads.run(extension.peers.worker, name)
        if extension.required or self._session.channel.opened:
            self._must = "must speak the extended protocol (link.require), and does not; run Outrider there"
        elif self._known is not None:
            self._must = (
                "was seen to speak the extended protocol, and now does not; either somebody changes what it says, or "
                f"it was replaced: then run at the master: outrider peer forget {name}"
            )
        if self._must:
            self._supervisor.start("extend", self._in_time(extension.handshake_s))

    @property
    def will_prove(self) -> bool:
        """Whether it will be seen who this peer is, before it can do anything."""
        return bool(self._must)

    def check(self, command: Command) -> None:
        """:class:`Refusal`, and the end of the link, for a base command of a worker that must be extended."""
        if self._session.extended is not None or command in _INTRODUCTIONS:
            return
        if self._must:
            asyncio.get_running_loop().call_soon(self._refuse)  # after the answer that says why
            raise Refusal(faults.INTERNAL, f"this worker {self._must}")
        if not self._told and self._session.worker:
            self._told = True
            self._log.info("%s: base link, sealed with the cluster key alone", self._session.worker)

    async def _in_time(self, seconds: float) -> None:
        await self._ports.sleep(seconds)
        if not self._turning and self._session.extended is None:
            self._refuse()

    async def _turned_in_time(self, seconds: float) -> None:
        await self._ports.sleep(seconds)
        if self._session.extended is None and self._session.channel.is_open:
            self._status.limit_hit("limits.handshake_deadline_s")
            self._session.channel.close("it did not finish the TLS handshake in time (limits.handshake_deadline_s)")

    def _refuse(self) -> None:
        if self._session.channel.is_open:
            self._status.count("peers_not_extended")
            self._session.channel.close(f"{NOT_EXTENDED}{self._session.worker} {self._must}")

    def _stranger(self, name: str, why: str) -> Refusal:
        """Somebody says that he is ``name``, and is not: counted, refused, and the link ends after the answer.

        The log hears of it once in a while (:mod:`outrider.master.strangers`).
        """
        self._status.count("identities_refused")
        self._session.channel.close_after(f"{NOT_ITSELF}{name}: {why}")
        return Refusal(faults.INTERNAL, f"this node is not {name} for its master: {why}")

    def _opened(self) -> None:
        """The stream has opened with TLS; who has no certificate may join, and has no other words to say."""
        self._log.debug("TLS from the first byte with %s", self._session.channel.address)

    def _probe(self, extension: Extension, payload: bytes) -> Reply:
        theirs = Abilities.decode(payload)
        if theirs.node != self._session.worker:
            raise Refusal(faults.INTERNAL, f"the probe names another node than hello did: {theirs.node!r}")
        agreement = extension.meet(theirs)
        if agreement is None:
            self._log.info("%s", extension.apart(theirs))
        elif not self._session.channel.opened:
            self._check_known(extension, theirs)
        self._theirs, self._agreement = theirs, agreement
        if agreement is not None and self._session.channel.opened:
            self._extend(extension, theirs, agreement)
        return Reply(extension.abilities.encode())

    def _check_known(self, extension: Extension, theirs: Abilities) -> None:
        """Without the authority's word a name belongs to the certificate that was seen under it."""
        known = self._known
        if known is None or isinstance(extension.trusted(theirs), Authorities):
            return
        if known.proof == "ca" or known.certificate != fingerprint(theirs.certificate):
            raise self._stranger(
                theirs.node,
                f"it shows another certificate than the node that had this name (SHA-256 {known.certificate[:16]}); "
                f"if its home was made anew, run at the master: outrider peer forget {theirs.node}",
            )

    def _start_tls(self, extension: Extension) -> Reply:
        theirs, agreement = self._theirs, self._agreement
        if theirs is None or agreement is None or self._turning or self._session.channel.opened:
            raise Refusal(faults.INTERNAL, "start_tls comes once, after a probe that both ends can follow")
        self._turning = True
        self._supervisor.start("turn to TLS", self._turned_in_time(extension.handshake_s))
        done = partial(self._extend, extension, theirs, agreement)
        return Reply(b"", turn=extension.turn(theirs, server=True, done=done))

    def _extend(self, extension: Extension, theirs: Abilities, agreement: Agreement) -> None:
        session = self._session
        if why := extension.objection(theirs, session.channel.shown, opened=session.channel.opened):
            self._stranger(theirs.node, why)
            session.channel.close(f"{NOT_ITSELF}{theirs.node}: {why}")
            return
        peer = session.extended = extension.met(theirs, agreement, session.channel.shown)
        self._log.info(
            "the link to %s is extended: TLS 1.3, version %s, protocol %d, vouched for by %s",
            peer.node,
            peer.version,
            peer.protocol,
            peer.voucher,
        )
        self._tell_proven(peer)
        address = session.channel.address
        self._supervisor.start("remember", extension.remember("worker", peer, address, self._log))
