"""What the log says of those who were not let in: once in a while for each reason, so that nobody can fill it.

Whoever holds the key, has a certificate, or wants to join may hear why it is refused; one who repeats old messages, or
makes connections all day, is counted.
"""

from __future__ import annotations

from logging import ERROR, WARNING

from outrider.exchange.credentials import Credentials
from outrider.logs import TaskLogger
from outrider.master.extending import NOT_EXTENDED, NOT_ITSELF
from outrider.master.handler import MasterHandler
from outrider.master.joining import NOT_JOINED
from outrider.ports import Ports
from outrider.protocol.seal import AGE_SETTING, WINDOW_SETTING
from outrider.status import Status
from outrider.transport.tls import REFUSALS

_AGAIN_S = 60
_REASONS = 64
"""So many different ones are told within that time: they are few, unless somebody makes up names or certificates."""
_REMEDIES = {
    AGE_SETTING: "",
    WINDOW_SETTING: "; if it is a worker of this cluster, give it this master's key file (docs/keys.md)",
}


class Strangers:
    """See the module."""

    def __init__(self, ports: Ports, status: Status, log: TaskLogger) -> None:
        self._ports = ports
        self._status = status
        self._log = log
        self._told: dict[str, float] = {}  # when the log heard of a reason, as long as it hears no more of it

    def left(self, handler: MasterHandler, credentials: Credentials | None) -> None:
        """A connection is gone: whether it was one that was refused."""
        channel = handler.session.channel
        if channel.limit in _REMEDIES:
            line = f"{channel.address} is refused: {channel.reason}{_REMEDIES[channel.limit]}"
            self._tell(channel.limit, line)
        elif channel.opened and not handler.info.name and channel.reason.startswith(REFUSALS):
            self._status.count("tls_refused")
            line = f"a connection from {channel.address} came to nothing: {channel.reason}"
            fault = credentials.own_fault() if credentials is not None else None
            self._tell(channel.reason, f"{line}; of this node: {fault}" if fault else line)
        elif channel.reason.startswith((NOT_ITSELF, NOT_EXTENDED)):
            self._tell(channel.reason, f"{channel.address} is refused: {channel.reason}", ERROR)
        elif channel.reason.startswith(NOT_JOINED):
            self._tell(channel.reason, f"a connection from {channel.address} came to nothing: {channel.reason}")

    def _tell(self, why: str, line: str, level: int = WARNING) -> None:
        now = self._ports.monotonic()
        self._told = {told: when for told, when in self._told.items() if now - when < _AGAIN_S}
        if why not in self._told and len(self._told) < _REASONS:
            self._told[why] = now
            self._log.log(level, "%s", line)
