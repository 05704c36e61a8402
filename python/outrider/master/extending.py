"""The master's half of an extended link: it answers a worker's probe, turns to TLS, and refuses who steps back.

A worker that must be extended, by the settings or since it was seen so, may do nothing but that. It
probes right after hello, so whoever begins with anything else is an old worker, or made to look like one.
"""

from __future__ import annotations

import asyncio

from outrider.errors import Refusal
from outrider.exchange.extension import Extended, Extension
from outrider.exchange.session import Serve, Session
from outrider.logs import TaskLogger
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.abilities import Abilities, Agreement
from outrider.protocol.commands import ECHO, HELLO, PROBE, START_TLS, Command
from outrider.status import Status
from outrider.supervise import Supervisor
from outrider.transport.channel import Reply

_INTRODUCTIONS = (ECHO, HELLO, PROBE, START_TLS)


class WorkerExtension:
    """One worker's link; without an ``extension`` it stays what it is, and the probe is an unknown command."""

    def __init__(
        self,
        session: Session,
        extension: Extension | None,
        *,
        ports: Ports,
        status: Status,
        supervisor: Supervisor,
        log: TaskLogger,
    ) -> None:
        self._session = session
        self._extension = extension
        self._ports = ports
        self._status = status
        self._supervisor = supervisor
        self._log = log
        self._theirs: Abilities | None = None
        self._agreement: Agreement | None = None
        self._turning = False  # TLS has a deadline of its own
        self._must = ""  # why the base protocol is not enough

    def serves(self) -> dict[Command, Serve]:
        """The two commands, and who answers them."""
        if self._extension is None:
            return {}
        extension = self._extension
        return {
            PROBE: lambda payload: self._probe(extension, payload),
            START_TLS: lambda _: self._start_tls(extension),
        }

    async def expect(self, name: str) -> None:
        """Before the worker ``name`` is let in: learn whether it must be extended, and by when."""
        extension = self._extension
        if extension is None:
            return
        if extension.required:
            self._must = "must speak the extended protocol (link.require), and does not; run Outrider there"
        elif await self._ports.threads.run(extension.peers.worker, name) is not None:
            self._must = (
                "was seen to speak the extended protocol, and now does not; either somebody changes what it says, or "
                f"it was replaced: then run at the master: outrider peer forget {name}"
            )
        if self._must:
            self._supervisor.start("extend", self._in_time(extension.handshake_s))

    def check(self, command: Command) -> None:
        """:class:`Refusal`, and the end of the link, for a base command of a worker that must be extended."""
        if self._must and self._session.extended is None and command not in _INTRODUCTIONS:
            asyncio.get_running_loop().call_soon(self._refuse)  # after the answer that says why
            raise Refusal(faults.INTERNAL, f"this worker {self._must}")

    async def _in_time(self, seconds: float) -> None:
        await self._ports.sleep(seconds)
        if not self._turning:
            self._refuse()

    def _refuse(self) -> None:
        if self._session.channel.is_open:
            self._log.error("%s %s", self._session.worker, self._must)
            self._status.count("peers_not_extended")
            self._session.channel.close("the worker does not speak the extended protocol")

    def _probe(self, extension: Extension, payload: bytes) -> Reply:
        theirs = Abilities.decode(payload)
        if theirs.node != self._session.worker:
            raise Refusal(faults.INTERNAL, f"the probe names another node than hello did: {theirs.node!r}")
        agreement = extension.meet(theirs)
        if agreement is None:
            self._log.info("%s", extension.apart(theirs))
        self._theirs, self._agreement = theirs, agreement
        return Reply(extension.abilities.encode())

    def _start_tls(self, extension: Extension) -> Reply:
        theirs, agreement, session = self._theirs, self._agreement, self._session
        if theirs is None or agreement is None or self._turning:
            raise Refusal(faults.INTERNAL, "start_tls comes once, after a probe that both ends can follow")

        def done() -> None:
            session.extended = Extended(theirs.node, theirs.version, agreement.number, agreement.features)
            self._log.info(
                "the link to %s is extended: TLS 1.3, version %s, protocol %d",
                theirs.node,
                theirs.version,
                agreement.number,
            )
            address = session.channel.address
            self._supervisor.start("remember", extension.remember("worker", theirs, address, self._log))

        self._turning = True
        return Reply(b"", turn=extension.turn(theirs, server=True, done=done))
