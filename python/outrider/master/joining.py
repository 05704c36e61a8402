"""How a node that has a token gets its certificate, at the master that holds the cluster's authority.

It comes over TLS from the first byte, with no certificate of its own: that opens these two commands and nothing else.
It tells the token's secret only after it has checked who is at this end. Tokens have 256 bits of chance, work once
and not for long, and every refusal is counted; the limits and the deadline of any unknown connection hold here. Each of
the two is answered once on a connection: a stranger shall not keep the threads of a master busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outrider.codes import Code
from outrider.errors import Refusal, StoreError
from outrider.exchange.extension import Extension
from outrider.exchange.session import Serve, Session
from outrider.logs import TaskLogger
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.commands import CA_JOIN, CA_SHOW, Command
from outrider.protocol.joining import Granted, Join, Trusted, decode, encode
from outrider.status import Status
from outrider.transport.answers import Reply

NOT_JOINED: Final = "it may not join: "
"""How the reason begins why such a connection has ended."""
_CLOSED: Final = "the master cannot use its authority at this moment, and its log says why"


def joining(
    session: Session, extension: Extension | None, ports: Ports, status: Status, log: TaskLogger
) -> Mapping[Command, Serve]:
    """What a connection serves to a node that joins: nothing where this node holds no authority."""
    if extension is None or not extension.credentials.signs:
        return {}
    desk = _Desk(session, extension, ports, status, log)
    return {CA_SHOW: desk.show, CA_JOIN: desk.join}


def told(error: ValueError | StoreError) -> str:
    """Why a node gets no certificate, as it may read it: where this node's files lie is not its business."""
    of_files = isinstance(error, StoreError) and error.situation != Code.NAME_HAS_CERTIFICATE
    return _CLOSED if of_files else str(error)


class _Desk:
    def __init__(self, session: Session, extension: Extension, ports: Ports, status: Status, log: TaskLogger) -> None:
        self._session = session
        self._authority = extension.credentials.authority
        self._ports = ports
        self._status = status
        self._log = log
        self._served: set[Command] = set()

    async def show(self, _: bytes) -> Reply:
        """Whom the cluster trusts: no secret."""
        self._check_stranger(CA_SHOW)
        try:
            trust = await self._ports.threads.run(self._authority.trust)
        except StoreError as error:
            raise self._refused(error) from error
        return Reply(encode(Trusted(trust.text)))

    async def join(self, payload: bytes) -> Reply:
        """A certificate for a token, once."""
        self._check_stranger(CA_JOIN)
        address = self._session.channel.address
        try:
            join = decode(payload, Join)
            name, certificate = await self._ports.threads.run(
                self._authority.redeem, join.id, join.secret, join.request, self._ports.wall()
            )
            trust = await self._ports.threads.run(self._authority.trust)
        except (ValueError, StoreError) as error:  # msgspec's are ValueErrors
            raise self._refused(error) from error
        self._status.count("nodes_joined")
        self._log.info("%s has joined the cluster from %s and has its certificate", name, address)
        return Reply(encode(Granted(certificate, trust.text)))

    def _refused(self, error: ValueError | StoreError) -> Refusal:
        self._status.count("joins_refused")
        self._session.channel.close_after(f"{NOT_JOINED}{error}")  # which the log hears of once in a while
        return Refusal(faults.INTERNAL, f"this node may not join: {told(error)}")

    def _check_stranger(self, command: Command) -> None:
        """In clear nobody may say what these commands carry, and inside TLS nobody twice."""
        channel = self._session.channel
        if not channel.opened or channel.shown is not None:
            raise Refusal(faults.INTERNAL, "a node joins over TLS from the first byte, without a certificate")
        if command in self._served:
            channel.close_after(f"it says {command} twice")
            raise Refusal(faults.INTERNAL, f"{command} is answered once on a connection")
        self._served.add(command)
