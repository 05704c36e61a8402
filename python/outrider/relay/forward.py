"""Requests between two nodes, over one session (specification 5.9, 5.10): what a peer owes us, what we owe it.

Both tables are the session's and end with it (threats 19, 21 to 23). An id is a word of the wire: ours are of chance,
a peer's is only repeated to it. An answer that nobody waits for is dropped, counted and refused with 3032.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from outrider.errors import ConnectionLostError, OutriderError, Refusal, RefusedByPeer
from outrider.exchange.session import Session
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.ports import Ports
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.bodies import split_once, task_id
from outrider.protocol.commands import Command
from outrider.relay.held import Held
from outrider.relay.queue import TOO_LATE
from outrider.relay.routes import Answer
from outrider.settings import Settings
from outrider.status import Status
from outrider.supervise import Supervisor
from outrider.transport.channel import Reply

_LONGEST_WORD: Final = 128
_RESERVED: Final = b"master"
"""A word of the original's queues, never somebody's id (7.3, row 9)."""


@dataclass(frozen=True, slots=True)
class RequestKind:
    """One kind of request: what asks, what brings its result and its error, and what we say to all three."""

    ask: Command
    result: Command
    error: Command
    taken: bytes
    error_taken: bytes


API: Final = RequestKind(
    c.DAPI,
    c.DAPI_RESULT,
    c.DAPI_ERR,
    taken=b"Added request to API requests queue",
    error_taken=b"DAPI error forwarded to worker",
)
SENDSYNC: Final = RequestKind(
    c.SENDSYNC,
    c.SENDSYNC_RESULT,
    c.SENDSYNC_ERROR,
    taken=b"Added request to SendSync requests queue",
    error_taken=b"SendSync error forwarded to worker",
)
FORWARDED: Final = b"Response forwarded to worker"
"""What the original says to a result that is for a program beside it."""


class Awaited:
    """Requests of one kind that the peer has yet to answer."""

    def __init__(self, session: Session, kind: RequestKind, *, ports: Ports, status: Status) -> None:
        self._session = session
        self._kind = kind
        self._random = ports.random
        self._status = status
        self._waiting: dict[bytes, tuple[asyncio.Future[Answer], bytes]] = {}
        self._gone = ""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._waiting)

    async def ask(self, request: bytes, thanks: bytes = FORWARDED) -> Answer:
        """Have the peer answer ``request``; its result is taken with ``thanks``.

        :class:`ConnectionLostError` or :class:`RefusedByPeer` says why it did not. How long it may take is for the
        caller to say, who stops waiting: requests come out of a queue, whose work ends at its deadline.
        """
        if self._gone:
            raise ConnectionLostError(self._gone)
        name = task_id(self._random.getrandbits(128))
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer, thanks
        try:
            await self._session.request(self._kind.ask, name + b" " + request)
            return await answer
        finally:
            del self._waiting[name]
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # nobody may have waited for it

    def result(self, payload: bytes) -> Reply:
        """The peer's result lies in a string: ``<id> <string>``."""
        name, string = split_once(payload)
        text = self._session.strings.take(string)
        answer, thanks = self._find(name)
        if text is None:
            answer.set_exception(RefusedByPeer(faults.INTERNAL, "the answer did not arrive whole"))
            raise Refusal(faults.INTERNAL, repr(string[:_LONGEST_WORD]))
        answer.set_result(Answer(text))
        return Reply(thanks)

    def error(self, payload: bytes) -> Reply:
        """The peer has no result, only a text: ``<id> <text>``."""
        name, text = split_once(payload)
        answer, _ = self._find(name)
        answer.set_result(Answer(text, ok=False))
        return Reply(self._kind.error_taken)

    def lost(self, reason: str) -> None:
        """The session is gone: whatever waits fails now, and nothing is asked any more."""
        self._gone = reason
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionLostError(reason))

    def _find(self, name: bytes) -> tuple[asyncio.Future[Answer], bytes]:
        answer, thanks = self._waiting.get(name, (None, b""))
        if answer is None or answer.done():
            self._status.count(TOO_LATE)
            raise Refusal(faults.UNKNOWN_REQUEST, name[:_LONGEST_WORD].decode(errors="replace"))
        return answer, thanks


class Owed:
    """Requests of one kind that the peer wants answered. ``answer`` does it, for a caller and what it asks."""

    def __init__(
        self,
        session: Session,
        kind: RequestKind,
        answer: Callable[[str, bytes], Awaitable[Answer]],
        *,
        settings: Settings,
        status: Status,
        supervisor: Supervisor,
    ) -> None:
        self._session = session
        self._kind = kind
        self._status = status
        self._answer = answer
        self._node = settings.node.name
        self._supervisor = supervisor
        limits = settings.limits
        self._most = limits.requests_running_per_peer + limits.requests_waiting_per_peer
        self._open = 0
        self._held = Held(limits.strings_total)

    def __len__(self) -> int:
        """How many there are."""
        return self._open

    def begin(self, caller: str, payload: bytes) -> Reply:
        """``<id> <request>``: answer it later; :class:`Refusal` or :class:`ValueError` if it is none (threat 19)."""
        name, request = split_once(payload)
        payload.decode()
        if not (0 < len(name) <= _LONGEST_WORD and name.isascii() and name.decode().isprintable()):
            raise Refusal(faults.INTERNAL, f"{name[:_LONGEST_WORD]!r} is no id: use 1 to {_LONGEST_WORD} plain letters")
        if name == _RESERVED:
            raise Refusal(faults.INTERNAL, "'master' is no id: the protocol keeps this word for itself")
        if self._open >= self._most:
            self._status.limit_hit("limits.requests_waiting_per_peer")
            text = f"{self._open} of your requests are here already (limits.requests_waiting_per_peer); try again later"
            raise Refusal(faults.INTERNAL, text)
        self._open += 1
        self._supervisor.start(Tag.API, self._serve(caller, name, request))
        return Reply(self._kind.taken)

    async def _serve(self, caller: str, name: bytes, request: bytes) -> None:
        try:
            answer = await self._answer(caller, request)
            del request  # it may be large, and its answer may wait long to be taken
            await self._held.send(answer, partial(self._send, name))
        except OutriderError as error:
            self._log().debug("an answer for %s did not reach the peer: %s", name.decode(), error)
        finally:
            self._open -= 1

    async def _send(self, name: bytes, answer: Answer) -> None:
        if answer.ok:
            try:
                await (await self._session.sender.result(answer.body, self._kind.result, name + b" "))
            except RefusedByPeer as error:
                if error.code == faults.UNKNOWN_REQUEST:
                    raise
                answer = Answer(f"the result was not taken: {error}".encode(), ok=False)
        if not answer.ok:
            await self._session.request(self._kind.error, name + b" " + answer.body)

    def _log(self) -> TaskLogger:
        return task_logger(Tag.API, self._node, peer=self._session.worker)
