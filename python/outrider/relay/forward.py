"""Requests between two nodes, over one session (specification 5.9, 5.10): what a peer owes us, what we owe it.

Both tables are the session's and end with it (threats 19, 21 to 23). An id is a word of the wire: ours are of chance,
a peer's is only repeated to it. An answer that nobody waits for is dropped, counted and refused with 3032.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from outrider.errors import ConnectionLostError, Refusal, RefusedByPeer
from outrider.exchange.pending import Pending
from outrider.exchange.sending import Result
from outrider.exchange.session import Session
from outrider.logs import Tag, TaskLogger, task_logger
from outrider.ports import Ports
from outrider.printable import counted
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol.bodies import split_once, task_id
from outrider.protocol.commands import Command
from outrider.relay.desk import answer_of
from outrider.relay.held import Held
from outrider.relay.queue import TOO_LATE
from outrider.relay.quotas import Quota, as_set
from outrider.relay.routes import Answer
from outrider.settings import Limits, Live
from outrider.status import Status
from outrider.transport.answers import Heard, Reply

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
        self._waiting: dict[bytes, tuple[Pending[Answer], bytes]] = {}
        self._gone = ""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._waiting)

    def ask(self, request: bytes, thanks: bytes = FORWARDED) -> Pending[Answer]:
        """Have the peer answer ``request``; its result is taken with ``thanks``.

        :class:`ConnectionLostError` or :class:`RefusedByPeer` says why it did not. How long it may take is for the
        caller to say, who gives it up: requests come out of a queue, whose work ends at its deadline.
        """
        if self._gone:
            return Pending.now(ConnectionLostError(self._gone))
        name = task_id(self._random.getrandbits(128))
        answer: Pending[Answer] = Pending(partial(self._waiting.pop, name))
        self._waiting[name] = answer, thanks
        self._session.ask(self._kind.ask, name + b" " + request, partial(self._heard, name))
        return answer

    def _heard(self, name: bytes, reply: bytes | Exception) -> None:
        """The peer has taken the request; or it has not, and there will be no answer."""
        if isinstance(reply, Exception) and name in self._waiting:
            self._waiting.pop(name)[0].settle(reply)

    def result(self, payload: bytes) -> Reply:
        """The peer's result lies in a string: ``<id> <string>``."""
        name, string = split_once(payload)
        text = self._session.strings.take(string)
        answer, thanks = self._take(name)
        if text is None:
            answer.settle(RefusedByPeer(faults.INTERNAL, "the answer did not arrive whole"))
            raise Refusal(faults.INTERNAL, repr(string[:_LONGEST_WORD]))
        return Reply(thanks, then=partial(answer.settle, Answer(text)))

    def error(self, payload: bytes) -> Reply:
        """The peer has no result, only a text: ``<id> <text>``."""
        name, text = split_once(payload)
        answer, _ = self._take(name)
        return Reply(self._kind.error_taken, then=partial(answer.settle, Answer(text, ok=False)))

    def lost(self, reason: str) -> None:
        """The session is gone: whatever waits fails now, and nothing is asked any more."""
        self._gone = reason
        waiting, self._waiting = self._waiting, {}
        for answer, _ in list(waiting.values()):
            answer.settle(ConnectionLostError(reason))

    def _take(self, name: bytes) -> tuple[Pending[Answer], bytes]:
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            self._status.count(TOO_LATE)
            raise Refusal(faults.UNKNOWN_REQUEST, name[:_LONGEST_WORD].decode(errors="replace"))
        return waiting


class Owed:
    """Requests of one kind that the peer wants answered. ``answer`` does it, for a caller and what it asks.

    ``quota`` says how many of them may be here.
    """

    def __init__(
        self,
        session: Session,
        kind: RequestKind,
        answer: Callable[[str, bytes], Pending[Answer]],
        *,
        live: Live,
        status: Status,
        quota: Callable[[Limits], Quota] = as_set,
    ) -> None:
        self._session = session
        self._kind = kind
        self._status = status
        self._quota = quota
        self._answer = answer
        self._node = live.now.node.name
        self._live = live
        self._open: dict[Pending[Answer], None] = {}
        self._held = Held(lambda: live.now.limits.strings_total, status.limit_hit)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    def begin(self, caller: str, payload: bytes) -> Reply:
        """``<id> <request>``: answer it later; :class:`Refusal` or :class:`ValueError` if it is none (threat 19)."""
        name, request = split_once(payload)
        payload.decode()
        if not (0 < len(name) <= _LONGEST_WORD and name.isascii() and name.decode().isprintable()):
            raise Refusal(faults.INTERNAL, f"{name[:_LONGEST_WORD]!r} is no id: use 1 to {_LONGEST_WORD} plain letters")
        if name == _RESERVED:
            raise Refusal(faults.INTERNAL, "'master' is no id: the protocol keeps this word for itself")
        if len(self._open) >= self._most:
            self._status.limit_hit("limits.requests_waiting_per_peer")
            here = len(self._open)
            text = (
                f"{counted(here, 'request')} of yours here already (limits.requests_waiting_per_peer); try again later"
            )
            raise Refusal(faults.INTERNAL, text)
        answer = self._answer(caller, request)
        self._open[answer] = None
        return Reply(self._kind.taken, then=partial(answer.then, partial(self._answered, name, answer)))

    @property
    def _most(self) -> int:
        quota = self._quota(self._live.now.limits)
        return quota.running + quota.waiting

    def lost(self) -> None:
        """The session is gone: nobody is there who would take an answer."""
        for answer in list(self._open):
            answer.give_up()
        self._open.clear()

    def _answered(self, name: bytes, pending: Pending[Answer], outcome: Answer | Exception) -> None:
        self._held.send(answer_of(outcome), partial(self._send, name, pending))

    def _send(self, name: bytes, pending: Pending[Answer], answer: Answer, taken: Callable[[], None]) -> None:
        ended = partial(self._ended, name, pending, taken)
        if answer.ok:
            result = Result(answer.body, self._kind.result, name + b" ")
            self._session.sender.result(result, partial(self._result_heard, name, ended))
        else:
            self._session.ask(self._kind.error, name + b" " + answer.body, ended)

    def _result_heard(self, name: bytes, ended: Heard, reply: bytes | Exception) -> None:
        if isinstance(reply, RefusedByPeer) and reply.code != faults.UNKNOWN_REQUEST:
            self._session.ask(self._kind.error, name + f" the result was not taken: {reply}".encode(), ended)
        else:
            ended(reply)

    def _ended(
        self, name: bytes, pending: Pending[Answer], taken: Callable[[], None], reply: bytes | Exception
    ) -> None:
        if isinstance(reply, Exception):
            self._log().debug("an answer for %s did not reach the peer: %s", name.decode(), reply)
        self._open.pop(pending, None)
        taken()

    def _log(self) -> TaskLogger:
        return task_logger(Tag.API, self._node, peer=self._session.worker)
