"""The asyncio shell around a :class:`Connection`: a stream, a timer, and a future for each request.

It hands received bytes and the time to the connection, writes what the connection wants sent, and
passes requests to its owner. It knows no command. Backpressure runs both ways: a sender waits in
:meth:`Channel.drain` until the stream takes more, and reading stops while the owner holds too much
or a peer asks without reading our answers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, cast

from msgspec import Struct

from outrider.codes import Code
from outrider.errors import (
    ConnectionLostError,
    PeerError,
    ProtocolError,
    Refusal,
    RefusedByPeer,
    RequestTimeoutError,
    TransportError,
)
from outrider.ports import Instant, Ports, Tls
from outrider.protocol import faults
from outrider.protocol.commands import ERR, OK, RESPONSES, START_TLS, Command
from outrider.protocol.connection import Connection, State
from outrider.protocol.events import Answered, Closed, Event, Requested, TimedOut
from outrider.protocol.faults import Fault, encode_fault, refused
from outrider.protocol.frame import opens_tls
from outrider.transport.tls import broken

_log = logging.getLogger("outrider.transport")
_READ_BYTES = 1024 * 1024
_UNREAD_ANSWERS_BYTES = 32 * 1024 * 1024
"""Reading stops when this much waits to be read by the peer; far above what our own senders queue up."""
_SERVING = 1024
"""Reading stops while so many of the peer's requests are being answered, or a peer that asks on would fill memory."""
_BUSY = "requests at work"
_TURNING = "turning to TLS"
_LINGER_S = 5
"""A closed stream may take this long to carry what is queued; a peer that is gone would take for ever."""


class Turn(NamedTuple):
    """How a channel turns to TLS; ``done`` is called when it stands, before anything said inside is heard."""

    terms: Tls
    done: Callable[[], None]


class Opening(NamedTuple):
    """How a stream begins: with TLS. Unless ``only``, a server serves those as well whose first bytes are none."""

    turn: Turn
    only: bool = True


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


class Owner(Protocol):
    """Who a channel works for."""

    def connected(self, channel: Channel) -> None:
        """The stream is open."""
        ...

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply] | None:
        """Serve the peer's request; :class:`Refusal` and other errors become its ``err`` answer (1.6).

        ``None``: this request has no answer (``sendsync`` on the local socket, 2.4).
        """
        ...

    def lost(self, reason: str) -> None:
        """The stream is gone; ``reason`` is one line for the log."""
        ...


class _Landing(threading.local):
    """Where bytes land that the connection takes at once: a loop reads one stream at a time, so one for each thread."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ_BYTES))


_landing = _Landing()


class Channel(asyncio.BufferedProtocol):
    """See the module."""

    def __init__(self, connection: Connection, owner: Owner, ports: Ports) -> None:
        self.connection = connection
        self.address = ""
        self.opening: Opening | None = None  # before the stream is there; gone when it has begun
        self.opened = False  # whether nothing was ever said outside TLS
        self.shown: bytes | None = None  # the peer's certificate (DER), once TLS stands
        self.fault: ProtocolError | None = None  # how the peer broke the protocol, if that closed the channel
        self.bytes_in = 0
        self.bytes_out = 0
        self._owner = owner
        self._ports = ports
        self._loop = asyncio.get_running_loop()
        self._landing = _landing.view
        self._transport: asyncio.Transport | None = None
        self._flushing = False
        self._acting: Instant | None = None  # while what has come is acted on: what is said meanwhile leaves together
        self._answers: dict[int, Heard] = {}
        self._serving: dict[asyncio.Task[None], None] = {}  # in the order in which they came
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._full = False
        self._holds: set[str] = set()
        self._first = b""
        self._farewell = ""
        self._turning: asyncio.Task[None] | None = None
        self._reason = ""
        self._gone = asyncio.Event()
        self._lost = False

    # for those who use it

    def ask(self, command: Command, payload: bytes, timeout_s: float, heard: Heard, *, more: bool = False) -> None:
        """Ask the peer at once and tell ``heard`` what becomes of it. With ``more`` the next request takes it along.

        That is :class:`RefusedByPeer` for ``err``, :class:`RequestTimeoutError`, :class:`ConnectionLostError`.
        """
        if self.is_open:
            self._answers[self._ask(command, payload, timeout_s, more=more)] = heard
        else:
            heard(ConnectionLostError(f"the link is closed: {self._reason or 'not connected'}"))

    def request(self, command: Command, payload: bytes, timeout_s: float) -> asyncio.Future[bytes]:
        """Ask the peer at once; its answer, or the error that :meth:`ask` tells, comes as a future."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self.ask(command, payload, timeout_s, partial(_settle, answer))
        return answer

    def tell(self, command: Command, payload: bytes, timeout_s: float) -> None:
        """Ask the peer and let its answer go: for those who have no time left. Nothing if the link is closed."""
        if self.is_open:
            self._ask(command, payload, timeout_s)

    async def start_tls(self, turn: Turn, timeout_s: float) -> None:
        """Ask the peer to turn to TLS, and do; :class:`RefusedByPeer` or :class:`TransportError`, after which close."""
        await self.request(START_TLS, b"", timeout_s)
        if self.is_open:
            self._turn(turn)
        await self.turned()

    async def turned(self) -> None:
        """Wait until the TLS that is being made stands; :class:`ConnectionLostError` if it does not come to that."""
        if self._turning is not None:
            await asyncio.wait([self._turning])
        if not self.is_open:
            raise ConnectionLostError(self._reason)

    def let_go(self) -> None:
        """Send what was held back (:meth:`Connection.hold_back`): the link stays as it is."""
        self.connection.let_go(self._ports.now())
        self._flush()

    @property
    def is_open(self) -> bool:
        """Whether requests can still be sent."""
        return self._transport is not None and self.connection.state is not State.CLOSED

    @property
    def limit(self) -> str | None:
        """The setting that the peer went beyond, if that closed the channel."""
        return self.fault.limit if self.fault is not None else None

    @property
    def reason(self) -> str:
        """Why the channel closed, in one line; empty while it is open."""
        return self._reason

    async def drain(self, timeout_s: float) -> None:
        """Wait until the stream takes more; bulk senders call this before each part.

        :class:`RequestTimeoutError` if the peer takes nothing for so long, whatever else it says meanwhile.
        """
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._writable.wait()
            except TimeoutError:
                raise RequestTimeoutError(f"the peer took nothing of what was sent for {timeout_s:g} s").coded(
                    Code.NOTHING_TAKEN
                ) from None

    def hold(self, why: str) -> None:
        """Stop reading until every reason for it is gone (:meth:`release`)."""
        self._holds.add(why)
        if self._transport is not None and not self._transport.is_closing() and self._turning is None:
            self._transport.pause_reading()

    def release(self, why: str) -> None:
        """Withdraw one reason to stop reading."""
        self._holds.discard(why)
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, reason: str) -> None:
        """Close the stream after what is queued has left, or soon if the peer does not take it."""
        self._reason = self._reason or reason
        self.connection.close()
        if self._transport is None:
            self._gone.set()
        elif not self._gone.is_set():
            self._transport.close()
            self._linger = self._linger or self._loop.call_later(_LINGER_S, self._transport.abort)

    def close_after(self, reason: str) -> None:
        """Close when the answer that is being made has left."""
        self._farewell = reason

    def abandon(self, reason: str) -> None:
        """The stream is gone as of now, whatever the peer may still say in it; nothing more of it is heard."""
        self.close(reason)
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    async def closed(self) -> str:
        """Wait until the stream is gone, which it is at once if it never opened; return why."""
        await self._gone.wait()
        return self._reason

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the stream and tell the owner."""
        # Only streams are dialled and listened for, and another loop's are of no class of asyncio's.
        transport = self._transport = cast("asyncio.Transport", transport)
        if self.connection.state is State.CLOSED:
            transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._arm()
        self._owner.connected(self)
        if self.opening is not None and not self.opening.turn.terms.server and self.is_open:
            self._open(self.opening)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Say where the next bytes go."""
        return self._landing

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what has come and the time to the connection; act on what it means."""
        self.bytes_in += nbytes
        data: bytes | memoryview = self._landing[:nbytes]
        if self.opening is not None:
            self._first += data
            if (tls := opens_tls(self._first)) is None:
                return
            data, self._first = self._first, b""
            if tls or self.opening.only:
                self._open(self.opening, data)
                return
            self.opening = None
        now = self._ports.now()
        self._act(self.connection.receive(data, now), now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail everything that waits, cancel what serves, tell the owner once."""
        if self._lost:
            return
        self._lost = True
        self._reason = self._reason or (broken(exc) if exc else "the peer closed the connection")
        self.connection.close()
        for timer in (self._timer, self._linger):
            if timer is not None:
                timer.cancel()
        answers, self._answers = self._answers, {}
        for heard in answers.values():
            heard(ConnectionLostError(self._reason))
        for task in self._serving:
            task.cancel()
        self._writable.set()
        self._gone.set()
        # Those who know a channel are many and know one another: what TLS holds, some 300 KiB, would wait with them
        # until Python looks for garbage.
        self._transport = None
        self._owner.lost(self._reason)

    def pause_writing(self) -> None:
        """The stream is full."""
        self._full = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """The stream takes more."""
        self._full = False
        self._writable.set()
        self.release("unread answers")

    # between the two

    def _ask(self, command: Command, payload: bytes, timeout_s: float, *, more: bool = False) -> int:
        now = self._acting or self._ports.now()
        counter = self.connection.request(command, payload, now, timeout_s)
        if not more and self._acting is None:
            self._flush()
        if self._timer is None or self._timer.when() > now.monotonic + timeout_s:
            self._arm()
        return counter

    def _act(self, events: list[Event], now: Instant) -> None:
        self._acting = now
        try:
            for event in events:
                match event:
                    case Requested():
                        self._serve(event, now)
                    case Answered():
                        self._answered(event)
                    case TimedOut():
                        self._hear(event.counter, RequestTimeoutError("the peer did not answer in time"))
                    case Closed():
                        self.fault = ProtocolError(event.reason, event.limit)
                        self._flush()
                        self.close(event.reason)
        finally:
            self._acting = None
            self._flush()

    def _serve(self, event: Requested, now: Instant) -> None:
        reply: Reply | Awaitable[Reply] | None
        try:
            reply = self._owner.process_request(event.command, event.payload)
        except Exception as error:  # noqa: BLE001  (whatever a request runs into is the peer's answer, never our end)
            reply = self._failed(event.command, error)
        if reply is None:
            return
        if isinstance(reply, Reply):
            self.connection.reply(event.counter, reply.name, reply.payload, now)
            if reply.turn is not None:
                self._turn(reply.turn)
            if reply.then is not None:
                reply.then()
        else:
            task = self._loop.create_task(self._serve_later(event, reply))
            self._serving[task] = None
            task.add_done_callback(self._served)
            if len(self._serving) >= _SERVING:
                self.hold(_BUSY)

    async def _serve_later(self, event: Requested, work: Awaitable[Reply]) -> None:
        try:
            reply = await work
        except Exception as error:  # noqa: BLE001  (as in _serve)
            reply = self._failed(event.command, error)
        self.connection.reply(event.counter, reply.name, reply.payload, self._ports.now())
        self._flush_soon()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.pop(task, None)
        if _BUSY in self._holds and len(self._serving) < _SERVING:
            self.release(_BUSY)

    def _open(self, opening: Opening, said: bytes = b"") -> None:
        """Begin with TLS; ``said`` is what the peer has said of it."""
        self.opening, self.opened = None, True
        self._turn(opening.turn, said)

    def _turn(self, turn: Turn, said: bytes = b"") -> None:
        """Read nothing more in clear from this moment on; make TLS when what we said in clear has left."""
        self.hold(_TURNING)
        self._turning = self._loop.create_task(self._make_tls(turn, said))

    async def _make_tls(self, turn: Turn, said: bytes) -> None:
        assert self._transport is not None  # noqa: S101  (who turns has spoken)
        try:
            async with asyncio.timeout(turn.terms.timeout_s):
                await self._writable.wait()
            made = await self._ports.network.secure(self._transport, self, turn.terms, said)
        except (TimeoutError, TransportError) as error:
            self.close(str(error) or "the peer did not take what was sent before TLS")
            self.connection_lost(None)  # what the stream is inside of has nobody else to tell
            return
        self._turning = None
        if self._lost:
            made.stream.abort()
            return
        self._transport, self.shown = made.stream, made.shown
        if not self.is_open:
            return
        now = self._ports.now()
        self.connection.secured(now)
        turn.done()
        self.bytes_in += len(made.early)
        self._act(self.connection.receive(made.early, now), now)
        self.release(_TURNING)
        if self._holds:
            self._transport.pause_reading()
        self._arm()

    def _failed(self, command: Command, error: Exception) -> Reply:
        """The answer to a request that failed; what is our own fault stands in our own log, in full."""
        if not isinstance(error, PeerError | ValueError):
            _log.error("cannot serve %s of %s: %s", command, self.address, error or type(error).__name__)
        return reply_to(error)

    def _answered(self, event: Answered) -> None:
        counter, name, payload = event.counter, event.name, event.payload
        if name == ERR:
            self._hear(counter, refused(payload))
        elif name not in RESPONSES:
            self._hear(counter, RefusedByPeer(faults.GENERIC, f"an answer named {name!r}, which is none"))
        else:
            self._hear(counter, payload)

    def _hear(self, counter: int, outcome: bytes | Exception) -> None:
        heard = self._answers.pop(counter, None)
        if heard is not None:
            heard(outcome)

    def _flush_soon(self) -> None:
        """Answers that are ready together leave together."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        frames = self.connection.frames_to_send()
        if frames and self._transport is not None and not self._transport.is_closing():
            self.bytes_out += sum(map(len, frames))
            if len(frames) == 1:
                self._transport.write(frames[0])
            else:
                self._transport.writelines(frames)
            if self._full and self._transport.get_write_buffer_size() > _UNREAD_ANSWERS_BYTES:
                self.hold("unread answers")
            if self._farewell:
                self.close(self._farewell)

    def _arm(self) -> None:
        """Keep one timer, at the connection's next deadline or before it."""
        deadline = self.connection.next_deadline()
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._ports.now()
        self._act(self.connection.tick(now), now)
        self._arm()


def _settle(answer: asyncio.Future[bytes], outcome: bytes | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, bytes):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)


def reply_to(error: Exception) -> Reply:
    """The ``err`` that answers a request which failed (1.6): a known code, or 1000 with the error's text."""
    if isinstance(error, Refusal):
        internal = error.code == faults.INTERNAL
        return Reply(encode_fault(Fault(error.code, error.detail), internal=internal), ERR)
    detail = str(error) if isinstance(error, PeerError | ValueError) else type(error).__name__
    return Reply(encode_fault(Fault(faults.INTERNAL, detail), internal=True), ERR)
