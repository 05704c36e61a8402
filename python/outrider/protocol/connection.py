"""One link between two nodes as a state machine: bytes and time in, events and bytes out.

Both roles use the same connection. It matches answers to requests by their counter (specification
1.2), joins divided messages, seals and opens payloads, knows deadlines, and answers by itself what
no role serves. It waits for nothing and knows no socket; two of them can talk without one.

The whole of its state, as a table:

=========  ==================================  =========================================
state      what the peer may ask               leaves it by
=========  ==================================  =========================================
ANONYMOUS  ``echo``, ``hello``                 ``known()``, ``ok`` to our own hello, a deadline
KNOWN      whatever our role serves            ``start_tls``, an error, ``close()``
TURNING    nothing, bytes break the link       ``secured()``, our refusal, an error, ``close()``
CLOSED     nothing, bytes are ignored          never
=========  ==================================  =========================================

TURNING begins with the last clear frame of the peer: its ``start_tls``, or its ``ok`` to ours. Whoever sent a
byte in clear after that would speak to us from outside. What we have to say ourselves is held back from our
own last clear frame on, at the latest, and leaves inside TLS, where nothing is sealed any more.

A stream may open with TLS as well, before anything is said: ``secured()`` leaves it ANONYMOUS then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random

from msgspec import Struct

from outrider.errors import ProtocolError
from outrider.ports import Instant
from outrider.printable import counted
from outrider.protocol import faults
from outrider.protocol.commands import ERR, HELLO, OK, PROBE, RESPONSES, START_TLS, Command
from outrider.protocol.events import Answered, Closed, Event, Requested, TimedOut
from outrider.protocol.faults import Fault, encode_fault
from outrider.protocol.frame import Frame, FrameReader, pack_message
from outrider.protocol.seal import NoSeal, Seal

_COUNTERS = 2**32
_FAR = 2**31
_EXPIRED_KEPT = 1024
_INTRODUCTIONS = (HELLO, PROBE, START_TLS)
_FROM_OUTSIDE = "something in clear follows the last words before TLS: it is not the peer's"


class State(Enum):
    """Where a connection stands; the table above says what each state allows."""

    ANONYMOUS = auto()
    KNOWN = auto()
    TURNING = auto()
    CLOSED = auto()


class LinkLimits(Struct, frozen=True):
    """What one peer may make us hold, in bytes and counts; 6,990,604 bytes is the largest frame an old peer sends.

    ``frame_setting`` is the key that ``frame_bytes`` comes from.
    """

    unknown_frame_bytes: int = 64 * 1024
    frame_bytes: int = 16 * 1024 * 1024
    message_bytes: int = 64 * 1024 * 1024
    open_messages: int = 64
    frame_setting: str = "limits.frame_bytes"
    answers_under_way: int = 1024
    unread_answers_bytes: int = 32 * 1024 * 1024


@dataclass(slots=True)
class _Divided:
    """The parts of one message so far, in one buffer, so that a flood of tiny parts costs what it sends."""

    parts: bytearray = field(default_factory=bytearray)


class Connection:
    """See the module. ``serves`` holds the commands that our role answers, by wire name.

    ``limits`` is asked again and again: other limits hold from the next frame on.
    """

    def __init__(
        self,
        seal: Seal,
        random: Random,
        *,
        serves: Mapping[bytes, Command],
        limits: Callable[[], LinkLimits],
        handshake_deadline: float | None = None,
    ) -> None:
        self.state = State.ANONYMOUS
        self.dropped_answers = 0
        self._seal = seal
        self._random = random
        self._serves = serves
        self.limits = limits
        self._handshake_deadline = handshake_deadline
        self._reader = FrameReader(limits().unknown_frame_bytes, "limits.unknown_frame_bytes")
        self._divided: dict[int, _Divided] = {}
        self._divided_bytes = 0
        self._counter: int | None = None
        self._peer_counter: int | None = None
        self._greeting: int | None = None
        self._waiting: dict[int, float] = {}
        self._earliest = 0.0  # no request that waits is due before it
        self._expired: OrderedDict[int, None] = OrderedDict()
        self._out: list[bytes] = []
        self._turn: int | None = None  # the counter of start_tls, ours or the peer's
        self._waits: list[tuple[int, bytes, bytes]] | None = None  # held back, in order

    # what the peer sends

    def receive(self, data: bytes | memoryview, now: Instant) -> list[Event]:
        """Take bytes, cut anywhere; return what they mean. What comes before a broken frame still counts."""
        if self.state is State.CLOSED:
            return []
        events: list[Event] = []
        if not self._reader.buffered:  # a frame that has begun ends under the limit under which it began
            self._bound()
        try:
            for frame in self._reader.feed(data):
                event = self._take(frame, now)
                if event is not None:
                    events.append(event)
            if self.state is State.TURNING:
                self._check_turn()
        except ProtocolError as error:
            events.append(self._broken(str(error), error.limit))
        return events

    def _take(self, frame: Frame, now: Instant) -> Event | None:
        counter, name, payload = frame.counter, frame.name, frame.payload
        if self.state is State.TURNING:
            raise ProtocolError(_FROM_OUTSIDE)
        if self._peer_counter is None:
            self._peer_counter = counter
        if frame.divided or counter in self._divided:
            joined = self._join(frame)
            if joined is None:
                return None
            payload = joined
        plain = self._seal.open(payload, now.wall)
        # An outstanding counter makes an answer, unless the name can only be a request: then it is a chance clash.
        if counter in self._waiting and (name in RESPONSES or name not in self._serves):
            del self._waiting[counter]
            # At once: a master may ask in the same breath in which it answers.
            if counter == self._greeting and name == OK:
                self.known()
            elif counter == self._turn and name == OK:
                self.state = State.TURNING
            return Answered(counter, name, plain)
        if counter in self._expired:
            del self._expired[counter]
        elif name in RESPONSES:
            self.dropped_answers += 1
        else:
            return self._asked(counter, name, plain, now)
        return None

    def _asked(self, counter: int, name: bytes, plain: bytes, now: Instant) -> Event | None:
        command = self._serves.get(name)
        if command is None:
            self.reply(counter, ERR, b"unknown command '%a'" % name, now)
        elif self.state is State.ANONYMOUS and not command.before_hello:
            fault = Fault(faults.INTERNAL, f"{command} comes before hello: say hello first")
            self.reply(counter, ERR, encode_fault(fault, internal=True), now)
        else:
            if command is START_TLS:
                self._turn, self.state = counter, State.TURNING
            return Requested(counter, command, plain)
        return None

    def _join(self, frame: Frame) -> bytes | None:
        """The whole payload, or ``None`` while parts of it are to come (1.4)."""
        message = self._divided.setdefault(frame.counter, _Divided())
        message.parts += frame.payload
        self._divided_bytes += len(frame.payload)
        self._check_divided()
        if frame.divided:
            return None
        del self._divided[frame.counter]
        self._divided_bytes -= len(message.parts)
        return bytes(message.parts)

    def _check_turn(self) -> None:
        """The peer's last words in clear are the last bytes, and leave nothing open."""
        if self._reader.buffered or self._divided:
            raise ProtocolError(_FROM_OUTSIDE)

    def _check_divided(self) -> None:
        limits = self.limits()
        if len(self._divided) > limits.open_messages:
            reason = f"more than {counted(limits.open_messages, 'divided message')} open at once"
            raise ProtocolError(reason, "limits.open_messages")
        most, setting = limits.message_bytes, "limits.message_bytes"
        if self.state is State.ANONYMOUS:
            most, setting = limits.unknown_frame_bytes, "limits.unknown_frame_bytes"
        if self._divided_bytes > most:
            raise ProtocolError(f"divided messages hold more than {most} bytes", setting)

    # what we send

    def request(self, command: Command, payload: bytes, now: Instant, timeout_s: float) -> int:
        """Ask the peer; the answer, or its absence, becomes an event with the counter returned here."""
        counter = self._counter = (self._first_counter() if self._counter is None else self._counter + 1) % _COUNTERS
        if command is HELLO:
            self._greeting = counter
        deadline = now.monotonic + timeout_s
        self._earliest = min(self._earliest, deadline) if self._waiting else deadline
        self._waiting[counter] = deadline
        self._send(counter, command.name, payload, now, introduces=command in _INTRODUCTIONS)
        if command is START_TLS:
            self._turn = counter
            self.hold_back()
        return counter

    def reply(self, counter: int, name: bytes, payload: bytes, now: Instant) -> None:
        """Answer the peer's request ``counter``."""
        self._send(counter, name, payload, now)
        if self.state is State.TURNING and counter == self._turn:
            if name == OK:
                self.hold_back()
            else:
                self._turn, self.state = None, State.KNOWN

    def frames_to_send(self) -> list[bytes]:
        """Everything that must leave, each frame in one piece (1.5), in order."""
        frames, self._out = self._out, []
        return frames

    def bytes_to_send(self) -> bytes:
        """The same in one piece; empty if nothing must leave."""
        return b"".join(self.frames_to_send())

    def hold_back(self) -> None:
        """Let nothing leave but hello, the probe and ``start_tls``, until :meth:`let_go` or :meth:`secured`."""
        self._waits = self._waits or []

    def let_go(self, now: Instant) -> None:
        """What was held back leaves, as the link now is."""
        waited, self._waits = self._waits or [], None
        for counter, name, payload in waited:
            self._send(counter, name, payload, now)

    def _send(self, counter: int, name: bytes, payload: bytes, now: Instant, *, introduces: bool = False) -> None:
        if self.state is State.CLOSED:
            return
        if self._waits is not None and not introduces:
            self._waits.append((counter, name, payload))
        else:
            self._out.append(pack_message(counter, name, self._seal.seal(payload, now.wall), len(payload)))

    def _first_counter(self) -> int:
        """At random, but far from the peer's first counter, so that the two never meet (1.2)."""
        near = self._random.getrandbits(30)
        return self._random.getrandbits(32) if self._peer_counter is None else self._peer_counter + _FAR + near

    # time and state

    def next_deadline(self) -> float | None:
        """When ``tick`` should be called, in monotonic seconds; early is harmless, since requests are answered."""
        earliest = self._earliest if self._waiting else None
        if self.state is State.ANONYMOUS and self._handshake_deadline is not None:
            return self._handshake_deadline if earliest is None else min(earliest, self._handshake_deadline)
        return earliest

    def tick(self, now: Instant) -> list[Event]:
        """What the passing of time means."""
        handshake = self._handshake_deadline
        if self.state is State.ANONYMOUS and handshake is not None and handshake <= now.monotonic:
            return [self._broken("no hello within the handshake deadline", "limits.handshake_deadline_s")]
        due = sorted((at, counter) for counter, at in self._waiting.items() if at <= now.monotonic)
        for _, counter in due:
            del self._waiting[counter]
            self._expire(counter)
        self._earliest = min(self._waiting.values(), default=0.0)
        return [TimedOut(counter) for _, counter in due]

    def known(self) -> None:
        """The peer has said who it is, with the key: it may ask everything, and send large frames."""
        self.state = State.KNOWN
        self._bound()

    def secured(self, now: Instant) -> None:
        """TLS stands: from here on payloads are plain inside it, and what waited leaves."""
        if self.state is State.CLOSED:
            return
        if self.state is State.TURNING:  # a stream that opens with TLS is as anonymous inside
            self.state = State.KNOWN
        self._turn, self._seal = None, NoSeal()
        self.let_go(now)

    def close(self) -> None:
        """Take and send nothing more, hold nothing."""
        self.state = State.CLOSED
        self._waits = None
        self._divided.clear()
        self._reader.clear()

    def _bound(self) -> None:
        """The largest frame that this peer may send now."""
        limits = self.limits()
        if self.state is State.ANONYMOUS:
            self._reader.limit, self._reader.setting = limits.unknown_frame_bytes, "limits.unknown_frame_bytes"
        else:
            self._reader.limit, self._reader.setting = limits.frame_bytes, limits.frame_setting

    def _expire(self, counter: int) -> None:
        self._expired[counter] = None
        if len(self._expired) > _EXPIRED_KEPT:
            self._expired.popitem(last=False)

    def _broken(self, reason: str, limit: str | None = None) -> Closed:
        self.close()
        return Closed(f"{reason} ({limit})" if limit else reason, limit)
