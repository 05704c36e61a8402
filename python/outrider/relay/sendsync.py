"""Messages of a worker's programs to a daemon beside the master, and its answers (specification 5.10).

Which daemons may be asked is the settings' to say, and by itself none; wazuh-db takes commands that are listed there
and no others. Each exchange has a connection of its own: four bytes of length, little endian, then the text, both
ways. It is bounded in size and time, and a daemon that hangs holds up nobody but those who ask it. Each daemon has a
queue in which callers take turns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from outrider.errors import Refusal, RequestTimeoutError, StoreError, TransportError
from outrider.exchange.pending import Pending
from outrider.logs import Tag, task_logger
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.protocol.faults import Failure
from outrider.protocol.results import parse
from outrider.relay.calls import failure_of
from outrider.relay.queue import RequestQueue
from outrider.relay.quotas import at_once
from outrider.relay.routes import Answer
from outrider.settings import Live
from outrider.status import Status
from outrider.store.wazuh_db.connection import Connection
from outrider.store.wazuh_db.frames import LARGEST, pack_request

_CONNECTIONS: Final = 4
"""At one time to one daemon: wazuh-db, for one, has eight for everybody."""
_OF_DAEMONS: Final = 0.95
"""Of the time for an answer, what a daemon has; the rest is for the way back."""
_WAZUH_DB: Final = "wazuh-db"


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """For which daemon, and what."""

    daemon_name: str
    message: str | dict[str, Any]

    @property
    def text(self) -> str:
        """What the daemon reads."""
        return self.message if isinstance(self.message, str) else json.dumps(self.message)


class Sendsync:
    """See the module."""

    def __init__(self, live: Live, ports: Ports, status: Status) -> None:
        self._live = live
        self._network = ports.network
        self._status = status
        self._queues: dict[str, RequestQueue[Answer]] = {}
        self._log = task_logger(Tag.API, live.now.node.name)

    def answer(self, caller: str, payload: bytes) -> Pending[Answer]:
        """What the daemon said, or the text of an ``err``."""
        try:
            message = _read(payload)
            self._check(message, caller)
            work = partial(self._exchange, message)
            seconds = _OF_DAEMONS * self._live.now.intervals.communication.timeout_dapi_request
            ticket = self._queue(message.daemon_name).submit(caller, work, seconds=seconds, size=len(payload))
        except Refusal as refusal:
            return Pending.now(told(failure_of(refusal)))
        return ticket.otherwise(partial(_failed, message.daemon_name))

    def left(self, caller: str) -> None:
        """The caller is gone: what it still waits for is given up."""
        for queue in self._queues.values():
            queue.drop(caller)

    async def close(self) -> None:
        """Give up everything."""
        for queue in self._queues.values():
            await queue.close()

    def _queue(self, daemon: str) -> RequestQueue[Answer]:
        """That of one of the daemons that the settings name."""
        if daemon not in self._queues:
            self._queues[daemon] = RequestQueue(self._live, self._status, at_once(_CONNECTIONS))
        return self._queues[daemon]

    def _check(self, message: Message, caller: str) -> None:
        name, sendsync = message.daemon_name, self._live.now.sendsync
        if sendsync.socket(name) is None:
            self._log.warning("%s asks the daemon %.64s, for which [sendsync] names no socket", caller, name)
            raise Refusal(faults.SOCKET_ERROR, repr(name[:64]))
        if len(message.text.encode()) > LARGEST:
            raise Refusal(faults.INTERNAL, f"the message is larger than the {LARGEST:,} bytes that a daemon reads")
        if name == _WAZUH_DB and not _is_listed(message.text, sendsync.wazuh_db_commands):
            self._log.warning("%s sends wazuh-db a command that sendsync.wazuh_db_commands does not list", caller)
            raise Refusal(faults.DENIED, "this command is not among sendsync.wazuh_db_commands of the master")

    async def _exchange(self, message: Message) -> Answer:
        name, settings = message.daemon_name, self._live.now
        socket = settings.node.home / (settings.sendsync.socket(name) or "")
        try:
            connection = await self._network.dial_local(socket, partial(Connection, name))
            assert isinstance(connection, Connection)  # noqa: S101  (what the factory makes)
            try:
                return Answer(await connection.ask(pack_request(message.text.encode())))
            finally:
                connection.close()
        except (TransportError, StoreError) as error:
            self._log.warning("no answer of the daemon %s at %s: %s", name, socket, error)
            return told(_no_exchange(name))


def _read(payload: bytes) -> Message:
    """The message in a payload; :class:`Refusal` if it is none (threat 19)."""
    try:
        message = msgspec.convert(parse(payload), Message)
        message.text.encode()
    except (ValueError, RecursionError) as error:
        raise Refusal(faults.INTERNAL, str(error)) from error
    return message


def _is_listed(command: str, listed: Sequence[str]) -> bool:
    """Whether a command is one of those, or begins with one and a space; a second line would be another command."""
    return command.isprintable() and any(command == one or command.startswith(f"{one} ") for one in listed)


def _failed(daemon: str, error: Exception) -> Answer:
    return told(_no_exchange(daemon) if isinstance(error, RequestTimeoutError) else failure_of(error))


def _no_exchange(daemon: str) -> Failure:
    return Failure(code=faults.SOCKET_ERROR, extra_message=repr(daemon))


def told(failure: Failure) -> Answer:
    """A failure as the text of an ``err``: its printed form, which is what C programs read."""
    return Answer(str(failure).encode(), ok=False)
