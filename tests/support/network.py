"""A network in memory: streams with latency, loss, bounded buffers and broken cables, all on the loop's clock.

It behaves as TCP does to those who use it: what is sent arrives in order or not at all, a lost
segment arrives late, a stream that is cut says so at once to both ends, one that is half open says
nothing to anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.secure import secure

from outrider.errors import SettingsError, TransportError
from outrider.ports import Listener, Secured, Tls

Tap = Callable[[float, str, str, bytes], None]

SEGMENT = 64 * 1024
KERNEL_BUFFER = 256 * 1024
"""What a stream takes before its writer notices that nobody reads."""
_HIGH, _LOW = 64 * 1024, 16 * 1024
_DIAL_TIMEOUT_S = 20.0
_RETRANSMIT_S = 0.2


class Fabric:
    """All hosts and the cables between them."""

    def __init__(self, random: Random) -> None:
        self.latency = 0.001
        self.jitter = 0.0
        self.loss = 0.0
        self.bytes_per_second = 100e6
        self.streams: list[Stream] = []
        self.dialled: list[tuple[float, str]] = []
        self._random = random
        self._doors: dict[tuple[str, int], Door] = {}
        self._programs: dict[tuple[str, Path], Callable[[], asyncio.BaseProtocol]] = {}
        self._taps: list[Tap] = []
        self.apart: set[frozenset[str]] = set()
        self._ports = 40_000

    def host(self, address: str) -> Host:
        """The network as a node at ``address`` sees it."""
        return Host(self, address)

    def tap(self, tap: Tap) -> None:
        """Show ``tap`` what is written on any cable: time, sender, receiver, bytes; local sockets have none."""
        self._taps.append(tap)

    def partition(self, one: str, other: str) -> None:
        """Nothing passes between two hosts, and nobody is told, until :meth:`heal`."""
        self.apart.add(frozenset((one, other)))

    def heal(self) -> None:
        """Every partition ends; what was sent meanwhile arrives."""
        self.apart.clear()
        for stream in self.streams:
            stream.pump()

    def power_off(self, address: str, *, half_open: bool) -> None:
        """The host is gone, with its listeners; its streams are reset, or nobody is told."""
        (self.freeze if half_open else self.cut)(address)
        for door in [door for door in self._doors.values() if door.addresses[0][0] == address]:
            door.close()
        for host, path in [key for key in self._programs if key[0] == address]:
            del self._programs[host, path]

    def now(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time()

    def serve_local(self, address: str, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """A program listens on a unix socket of the host at ``address``; no cut and no partition reaches it."""
        self._programs[address, path] = factory

    def cut(self, address: str) -> None:
        """Reset every stream of a host."""
        for stream in list(self.streams):
            if address in (stream.here, stream.there):
                stream.fail(ConnectionResetError("reset"))

    def freeze(self, address: str) -> None:
        """The host's present streams go half open: nothing arrives any more, for ever, and nobody is told."""
        for stream in self.streams:
            if address in (stream.here, stream.there):
                stream.frozen = True

    # for hosts and streams

    def reachable(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.apart

    def delay(self) -> float:
        """How long the next segment takes."""
        seconds = self.latency + self.jitter * self._random.random()
        again = _RETRANSMIT_S
        while self.loss and self._random.random() < self.loss and again < 60:
            seconds += again
            again *= 2
        return seconds

    def show(self, sender: str, receiver: str, data: bytes) -> None:
        if not self._taps or "/" in sender:  # a local socket's path
            return
        now = self.now()
        for tap in self._taps:
            tap(now, sender, receiver, data)

    def open_door(self, address: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> Door:
        port = port or self.free_port()
        if (address, port) in self._doors:
            raise SettingsError(f"link.port: {address}:{port} is taken")
        door = self._doors[address, port] = Door(self, address, port, factory)
        return door

    def open_program(self, address: str, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> LocalDoor:
        self.serve_local(address, path, factory)
        return LocalDoor(lambda: self._programs.pop((address, path), None))

    def close_door(self, door: Door) -> None:
        self._doors.pop(door.addresses[0], None)

    def program(self, address: str, path: Path) -> Callable[[], asyncio.BaseProtocol] | None:
        return self._programs.get((address, path))

    def door(self, address: str, port: int) -> Door | None:
        return self._doors.get((address, port))

    def free_port(self) -> int:
        self._ports += 1
        return self._ports


class Door:
    """A listener."""

    def __init__(self, fabric: Fabric, address: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self.addresses = [(address, port)]
        self.factory = factory
        self._fabric = fabric

    def close(self) -> None:
        self._fabric.close_door(self)


class LocalDoor:
    """A listener on a unix socket."""

    addresses: list[tuple[str, int]] = []  # noqa: RUF012

    def __init__(self, leave: Callable[[], object]) -> None:
        self._leave = leave

    def close(self) -> None:
        self._leave()


class Host:
    """The :class:`outrider.ports.Network` of one node."""

    def __init__(self, fabric: Fabric, address: str) -> None:
        self._fabric = fabric
        self.address = address

    async def dial(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        self._fabric.dialled.append((asyncio.get_running_loop().time(), self.address))
        if not self._fabric.reachable(self.address, host):
            await asyncio.sleep(_DIAL_TIMEOUT_S)
            raise TransportError("no answer")
        await asyncio.sleep(2 * self._fabric.delay())
        door = self._fabric.door(host, port)
        if door is None:
            raise TransportError("Connection refused")
        near = Stream(self._fabric, (self.address, self._fabric.free_port()), (host, port))
        return self._connect(near, factory, door.factory)

    async def dial_local(self, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        await asyncio.sleep(0)
        program = self._fabric.program(self.address, path)
        if program is None:
            raise TransportError("No such file or directory")
        socket = f"{self.address}:{path}"
        return self._connect(Stream(self._fabric, (socket, self._fabric.free_port()), (socket, 0)), factory, program)

    async def listen_local(
        self, path: Path, factory: Callable[[], asyncio.BaseProtocol], *, owner: tuple[int, int] | None = None
    ) -> Listener:
        del owner
        await asyncio.sleep(0)
        return self._fabric.open_program(self.address, path, factory)

    async def listen(self, host: str, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> Listener:
        del host
        await asyncio.sleep(0)
        return self._fabric.open_door(self.address, port, factory)

    async def secure(
        self, stream: asyncio.Transport, protocol: asyncio.BaseProtocol, terms: Tls, said: bytes = b""
    ) -> Secured:
        assert isinstance(stream, Stream)
        return await secure(stream, protocol, terms, said)

    def _connect(
        self, near: Stream, factory: Callable[[], asyncio.BaseProtocol], far_factory: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseProtocol:
        far = Stream(self._fabric, near.peername, near.sockname)
        near.join(far)
        protocol = factory()
        near.open(protocol)
        far.open(far_factory())
        return protocol


class Stream(asyncio.Transport):
    """One end of a stream."""

    def __init__(self, fabric: Fabric, sockname: tuple[str, int], peername: tuple[str, int]) -> None:
        super().__init__({"peername": peername, "sockname": sockname})
        self.sockname, self.peername = sockname, peername
        self.here, self.there = sockname[0], peername[0]
        self._ends = (f"{self.here}:{sockname[1]}", f"{self.there}:{peername[1]}")
        self.frozen = False
        self._fabric = fabric
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.BaseProtocol | None = None
        self._far: Stream | None = None
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._in_flight: deque[tuple[float, bytes]] = deque()
        self._in_flight_bytes = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._lost = False
        self._ended = False
        self._reading = True
        self._told_to_pause = False
        self._high, self._low = _HIGH, _LOW

    def join(self, far: Stream) -> None:
        """Connect the two ends."""
        self._far, far._far = far, self
        self._fabric.streams += [self, far]

    def open(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the stream to its owner."""
        self._protocol = protocol
        protocol.connection_made(self)

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._lost or not data:
            return
        data = bytes(data)
        self._fabric.show(*self._ends, data)
        self.write_unseen(data)

    def write_unseen(self, data: bytes | bytearray | memoryview) -> None:
        """As :meth:`write`, for what no tap understands."""
        data = bytes(data)
        clear = not self._unsent and self._in_flight_bytes < KERNEL_BUFFER and len(data) <= SEGMENT
        if clear and self._far is not None and not self._lost:
            self._put(data)  # as :meth:`pump` would, in fewer steps
            self._deliver()
            return
        for start in range(0, len(data), SEGMENT):
            self._unsent.append(data[start : start + SEGMENT])
        self._unsent_bytes += len(data)
        self.pump()

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        if self._far is not None:
            self._far.pump()

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._reading = False
            self.pump()

    def abort(self) -> None:
        far = self._far
        self.fail(None)
        if far is not None and not self.frozen and self._fabric.reachable(self.here, self.there):
            self._loop.call_later(self._fabric.delay(), far.fail, ConnectionResetError("reset by peer"))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    # the cable

    def fail(self, error: Exception | None) -> None:
        """This end is gone."""
        if self._lost:
            return
        self._lost = True
        self._unsent.clear()
        self._in_flight.clear()
        self._unsent_bytes = self._in_flight_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
        self._fabric.streams.remove(self)
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, error)

    def pump(self) -> None:
        """Move what can move: to the kernel, onto the cable, to the reader."""
        if self._lost or self._far is None:
            return
        self._to_kernel()
        self._deliver()
        self._tell_writer()
        if self._closing and not self._unsent:
            self._end()

    def _to_kernel(self) -> None:
        while self._unsent and self._in_flight_bytes < KERNEL_BUFFER:
            data = self._unsent.popleft()
            self._unsent_bytes -= len(data)
            self._put(data)

    def _put(self, data: bytes) -> None:
        fabric = self._fabric
        self._free_at = max(self._free_at, self._loop.time()) + len(data) / fabric.bytes_per_second
        arrives = self._free_at + fabric.delay()
        if self._in_flight:
            arrives = max(arrives, self._in_flight[-1][0])
        self._in_flight.append((arrives, data))
        self._in_flight_bytes += len(data)

    def _deliver(self) -> None:
        """One timer, for the first segment under way; a reader that pauses leaves it where it is."""
        if self._timer is not None or not self._in_flight or not self._passes():
            return
        self._timer = self._loop.call_at(self._in_flight[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        if self._passes() and self._in_flight:
            _, data = self._in_flight.popleft()
            self._in_flight_bytes -= len(data)
            assert self._far is not None
            self._far.receive(data)
        if self._ended and not self._in_flight:
            self.fail(None)
        if self._in_flight or self._unsent or self._closing or self._told_to_pause:
            self.pump()

    def _passes(self) -> bool:
        far = self._far
        assert far is not None
        fabric = self._fabric
        if self.frozen or far.frozen or (fabric.apart and not fabric.reachable(self.here, self.there)):
            return False
        return far._lost or far._closing or far._reading  # whoever closes reads no more, but takes what comes

    def receive(self, data: bytes) -> None:
        """Bytes, or nothing for the end of the stream."""
        protocol = self._protocol
        if self._lost or self._closing or protocol is None:
            return
        if not data:
            assert isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol)
            if not protocol.eof_received():
                self.close()
        elif isinstance(protocol, asyncio.BufferedProtocol):
            _land(protocol, data)
        else:
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(data)

    def _tell_writer(self) -> None:
        if self._protocol is None or self._lost:
            return
        if not self._told_to_pause and self._unsent_bytes > self._high:
            self._told_to_pause = True
            self._protocol.pause_writing()
        elif self._told_to_pause and self._unsent_bytes <= self._low:
            self._told_to_pause = False
            self._protocol.resume_writing()

    def _end(self) -> None:
        """All is handed over: the owner is told now; the cable goes on to carry what it holds, and the end mark."""
        if self._ended:
            return
        self._ended = True
        self._put(b"")
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, None)
            self._protocol = None
        self._deliver()


def _land(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Hand ``data`` to one that says where it is to go."""
    while data:
        room = memoryview(protocol.get_buffer(-1))
        size = min(len(data), len(room))
        room[:size] = data[:size] if size < len(data) else data
        protocol.buffer_updated(size)
        data = data[size:]
