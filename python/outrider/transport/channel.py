"""The asyncio shell around a :class:`Connection`: a stream, a timer, and a future for each request.

It hands received bytes and the time to the connection, writes what the connection wants sent, and
passes requests to its owner (:mod:`outrider.transport.serving`). It knows no command. Backpressure runs
both ways: a sender waits in :meth:`Channel.drain` until the stream takes more, and reading stops while the
owner holds too much or a peer asks without reading our answers. How the stream turns to TLS is told by
:mod:`outrider.transport.turning`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, cast

from outrider.codes import Code
from outrider.errors import ConnectionLostError, ProtocolError, RequestTimeoutError
from outrider.ports import Instant, Ports, Secured
from outrider.protocol.commands import START_TLS, Command
from outrider.protocol.connection import Connection, State
from outrider.protocol.events import Answered, Closed, Event, Requested, TimedOut
from outrider.status import unheard
from outrider.transport.answers import Heard, Reply, said_by, settle
from outrider.transport.serving import Serving
from outrider.transport.tls import broken
from outrider.transport.turning import TURNING, Opening, Turn, Turning

_READ_BYTES = 1024 * 1024
_UNREAD = "unread answers"
_LINGER_S = 5
"""A closed stream may take this long to carry what is queued; a peer that is gone would take for ever."""


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
    """See the module. ``hit`` is told of the setting for which reading stops."""

    def __init__(
        self, connection: Connection, owner: Owner, ports: Ports, hit: Callable[[str], None] = unheard
    ) -> None:
        self.connection = connection
        self.address = ""
        self.opening: Opening | None = None  # before the stream is there; gone when it has begun
        self.opened = False  # whether nothing was ever said outside TLS
        self.shown: bytes | None = None  # the peer's certificate (DER), once TLS stands
        self.fault: ProtocolError | None = None  # how the peer broke the protocol, if that closed the channel
        self.stream: asyncio.Transport | None = None  # while there is one; another one once it has turned
        self.bytes_in = 0
        self.bytes_out = 0
        self._owner = owner
        self._ports = ports
        self._hit = hit
        self._loop = asyncio.get_running_loop()
        self._landing = _landing.view
        self._turning = Turning(self, ports)
        self._flushing = False
        self._acting: Instant | None = None  # while what has come is acted on: what is said meanwhile leaves together
        self._answers: dict[int, Heard] = {}
        self._serving = Serving(self, owner, ports, hit)
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._full = False
        self._holds: set[str] = set()
        self._farewell = ""
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
        self.ask(command, payload, timeout_s, partial(settle, answer))
        return answer

    def tell(self, command: Command, payload: bytes, timeout_s: float) -> None:
        """Ask the peer and let its answer go: for those who have no time left. Nothing if the link is closed."""
        if self.is_open:
            self._ask(command, payload, timeout_s)

    async def start_tls(self, turn: Turn, timeout_s: float) -> None:
        """Ask the peer to turn to TLS, and do; :class:`RefusedByPeer` or :class:`TransportError`, after which close."""
        await self.request(START_TLS, b"", timeout_s)
        if self.is_open:
            self.turn(turn)
        await self.turned()

    async def turned(self) -> None:
        """Wait until the TLS that is being made stands; :class:`ConnectionLostError` if it does not come to that."""
        await self._turning.wait()
        if not self.is_open:
            raise ConnectionLostError(self._reason)

    def turn(self, turn: Turn) -> None:
        """Turn to TLS now: both have said so."""
        self._turning.turn(turn)

    def let_go(self) -> None:
        """Send what was held back (:meth:`Connection.hold_back`): the link stays as it is."""
        self.connection.let_go(self._ports.now())
        self._flush()

    @property
    def is_open(self) -> bool:
        """Whether requests can still be sent."""
        return self.stream is not None and self.connection.state is not State.CLOSED

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
        if self.stream is not None and not self.stream.is_closing() and not self._turning.under_way:
            self.stream.pause_reading()

    def release(self, why: str) -> None:
        """Withdraw one reason to stop reading."""
        self._holds.discard(why)
        if not self._holds and self.stream is not None and not self.stream.is_closing():
            self.stream.resume_reading()

    def close(self, reason: str) -> None:
        """Close the stream after what is queued has left, or soon if the peer does not take it."""
        self._reason = self._reason or reason
        self.connection.close()
        if self.stream is None:
            self._gone.set()
        elif not self._gone.is_set():
            self.stream.close()
            self._linger = self._linger or self._loop.call_later(_LINGER_S, self.stream.abort)

    def close_after(self, reason: str) -> None:
        """Close when the answer that is being made has left."""
        self._farewell = reason

    def abandon(self, reason: str) -> None:
        """The stream is gone as of now, whatever the peer may still say in it; nothing more of it is heard."""
        self.close(reason)
        if self.stream is not None:
            self.stream.abort()
            self.connection_lost(None)

    async def closed(self) -> str:
        """Wait until the stream is gone, which it is at once if it never opened; return why."""
        await self._gone.wait()
        return self._reason

    def flush_soon(self) -> None:
        """Answers that are ready together leave together."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the stream and tell the owner."""
        # Only streams are dialled and listened for, and another loop's are of no class of asyncio's.
        transport = self.stream = cast("asyncio.Transport", transport)
        if self.connection.state is State.CLOSED:
            transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._arm()
        self._owner.connected(self)
        if self.is_open:
            self._turning.dialled()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Say where the next bytes go."""
        return self._landing

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what has come and the time to the connection; act on what it means."""
        self.bytes_in += nbytes
        data: bytes | memoryview = self._landing[:nbytes]
        if self.opening is not None:
            said = self._turning.begun(data)
            if said is None:
                return
            data = said
        now = self._ports.now()
        self._act(self.connection.receive(data, now), now)

    def secured(self, made: Secured, done: Callable[[], None]) -> None:
        """Go on inside TLS; ``done`` is called before anything is heard that was said in it."""
        if self._lost:
            made.stream.abort()
            return
        self.stream = made.stream
        if not self.is_open:
            return
        now = self._ports.now()
        self.connection.secured(now)
        done()
        self.bytes_in += len(made.early)
        self._act(self.connection.receive(made.early, now), now)
        self.release(TURNING)
        if self._holds and not made.stream.is_closing():
            made.stream.pause_reading()
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail everything that waits, cancel what serves, tell the owner once."""
        if self._lost:
            return
        self._lost = True
        left = broken(exc) if exc else "the peer closed the connection"
        self._reason = self._reason or self._farewell or left
        self.connection.close()
        for timer in (self._timer, self._linger):
            if timer is not None:
                timer.cancel()
        answers, self._answers = self._answers, {}
        for heard in answers.values():
            heard(ConnectionLostError(self._reason))
        self._serving.end()
        self._writable.set()
        self._gone.set()
        # Those who know a channel are many and know one another: what TLS holds, some 300 KiB, would wait with them
        # until Python looks for garbage.
        self.stream = None
        self._owner.lost(self._reason)

    def pause_writing(self) -> None:
        """The stream is full."""
        self._full = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """The stream takes more."""
        self._full = False
        self._writable.set()
        self.release(_UNREAD)

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
                        self._serving.serve(event, now)
                    case Answered():
                        self._hear(event.counter, said_by(event))
                    case TimedOut():
                        self._hear(event.counter, RequestTimeoutError("the peer did not answer in time"))
                    case Closed():
                        self.fault = ProtocolError(event.reason, event.limit)
                        self._flush()
                        self.close(event.reason)
        finally:
            self._acting = None
            self._flush()

    def _hear(self, counter: int, outcome: bytes | Exception) -> None:
        heard = self._answers.pop(counter, None)
        if heard is not None:
            heard(outcome)

    def _flush(self) -> None:
        self._flushing = False
        frames = self.connection.frames_to_send()
        if frames and self.stream is not None and not self.stream.is_closing():
            self.bytes_out += sum(map(len, frames))
            if len(frames) == 1:
                self.stream.write(frames[0])
            else:
                self.stream.writelines(frames)
            if self._full:
                self._bound_unread(self.stream.get_write_buffer_size())
            if self._farewell:
                self.close(self._farewell)

    def _bound_unread(self, unread: int) -> None:
        """Hear no more of a peer that asks and does not read; far above what our own senders queue up."""
        if unread > self.connection.limits().unread_answers_bytes and _UNREAD not in self._holds:
            self._hit("limits.unread_answers_bytes")
            self.hold(_UNREAD)

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
