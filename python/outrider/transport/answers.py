"""What a request is answered with: by this node, as a :class:`Reply`; by the peer, as told to whoever asked.

It sends nothing and keeps nothing: :mod:`outrider.transport.channel` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from outrider.errors import PeerError, Refusal, RefusedByPeer
from outrider.protocol import faults
from outrider.protocol.commands import ERR, OK, RESPONSES
from outrider.protocol.events import Answered
from outrider.protocol.faults import Fault, encode_fault, refused
from outrider.transport.turning import Turn


class Reply(Struct, frozen=True):
    """What a request is answered with; after an answer with a ``turn``, to ``start_tls``, the channel turns to TLS.

    ``then`` is called behind the answer: what it asks the peer comes after that, mostly in the same write.
    """

    payload: bytes
    name: bytes = OK
    turn: Turn | None = None
    then: Callable[[], None] | None = None


Heard = Callable[[bytes | Exception], None]
"""Who is told what a peer answered, or why it did not, within the call that brings it. It raises nothing."""


def reply_to(error: Exception) -> Reply:
    """The ``err`` that answers a request which failed (1.6): a known code, or 1000 with the error's text."""
    if isinstance(error, Refusal):
        internal = error.code == faults.INTERNAL
        return Reply(encode_fault(Fault(error.code, error.detail), internal=internal), ERR)
    detail = str(error) if isinstance(error, PeerError | ValueError) else type(error).__name__
    return Reply(encode_fault(Fault(faults.INTERNAL, detail), internal=True), ERR)


def said_by(event: Answered) -> bytes | Exception:
    """What the peer's answer says: its payload, or :class:`RefusedByPeer` (1.6)."""
    name, payload = event.name, event.payload
    if name == ERR:
        return refused(payload)
    if name not in RESPONSES:
        return RefusedByPeer(faults.GENERIC, f"an answer named {name!r}, which is none")
    return payload


def settle(answer: asyncio.Future[bytes], outcome: bytes | Exception) -> None:
    """Tell a future, unless whoever awaited it has given up."""
    if answer.done():
        return
    if isinstance(outcome, bytes):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)
