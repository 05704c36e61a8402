"""The extended link: round trips and 100 MiB inside TLS, beside the same link over Fernet and beside bare asyncio TLS.

Two processes. The near one asks; the far one answers from memory, in parts of 256 KiB, of which 8 are asked
for at one time, as a bundle is read. Over Fernet it is the same channel before it turns. Bare TLS is the least that
could do it: asyncio's streams on the same certificates, a length before each echo, and 256 KiB a write.
Echoes are 128 bytes, one after another. The best run counts, on every side: two ends want two idle cores, and
whatever else runs only ever adds. The last row is a whole file through :class:`Sender`, which sums it at
both ends and writes it at one, onto a tmpfs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import struct
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import NamedTuple

from benches.rows import Row
from benches.transport import OPENING, End, Memory
from outrider.ports import Identity, Tls
from outrider.protocol import commands as c
from outrider.protocol.bodies import TransferPath
from outrider.protocol.commands import Command, To
from outrider.protocol.transfer import PART_BYTES
from outrider.store.identity import identity_of
from outrider.transport.answers import Reply
from outrider.transport.tls import context_for
from outrider.transport.turning import Turn
from outrider.world import share_freed_memory

_READ = Command(b"bench_read", To.MASTER, "the next part")
_BODY = b"x" * 128
_WINDOW = 8
_LENGTH = struct.Struct("!I")
_TIMEOUT_S = 60


class _Ports(NamedTuple):
    """Where the far process listens: as a channel, and with bare TLS."""

    channel: int
    bare: int


class _Times(NamedTuple):
    """Seconds of one round."""

    echo_tls: float
    echo_fernet: float
    echo_bare: float
    bulk_tls: float
    bulk_fernet: float
    bulk_bare: float
    file_tls: float
    file_fernet: float


def run(*, short: bool) -> list[Row]:
    """Echoes, bulk and a file."""
    runs, echoes, size = (3, 1_000, 32 << 20) if short else (7, 5_000, 100 << 20)
    share_freed_memory()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        rounds = _rounds(Path(folder), runs, echoes, size)
    times = _Times(*(min(column) for column in zip(*rounds, strict=True)))
    bulk, echo = f"{size >> 20} MiB in parts, inside TLS", f"{echoes:,} echoes inside TLS"
    return [
        Row(bulk, times.bulk_tls, "the same over Fernet", times.bulk_fernet, ">= 4x"),
        Row(bulk, times.bulk_tls, "bare asyncio TLS", times.bulk_bare, ">= 0.6x"),
        Row(echo, times.echo_tls, "the same over Fernet", times.echo_fernet, ""),
        Row(echo, times.echo_tls, "bare asyncio TLS", times.echo_bare, ""),
        Row(f"file of {size >> 20} MiB inside TLS", times.file_tls, "the same over Fernet", times.file_fernet, ""),
    ]


def _rounds(folder: Path, runs: int, echoes: int, size: int) -> list[_Times]:
    """Both ends stay: the first round warms what later ones find warm."""
    near = identity_of(folder / "near", b"n" * 32)
    far = identity_of(folder / "far", b"f" * 32)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_far, args=(folder / "there", far, near.certificate, there))
    process.start()
    terms = Tls(False, near, far.certificate, 10)
    rounds = asyncio.run(_measure(folder / "here", here.recv(), terms, runs=runs, echoes=echoes, size=size))
    here.send("done")
    process.join()
    return rounds


async def _measure(home: Path, ports: _Ports, terms: Tls, *, runs: int, echoes: int, size: int) -> list[_Times]:
    fernet, tls = await _dialled(End(home / "fernet"), ports.channel), await _dialled(End(home / "tls"), ports.channel)
    await tls.session.start_tls(Turn(terms, lambda: None))
    reader, writer = await asyncio.open_connection("127.0.0.1", ports.bare, ssl=context_for(terms), limit=2**20)
    rounds = [
        _Times(
            echo_tls=await _echoes(tls, echoes),
            echo_fernet=await _echoes(fernet, echoes),
            echo_bare=await _bare_echoes(reader, writer, echoes),
            bulk_tls=await _bulk(tls, size),
            bulk_fernet=await _bulk(fernet, size),
            bulk_bare=await _bare_bulk(ports.bare, terms, size),
            file_tls=await _file(tls, size),
            file_fernet=await _file(fernet, size),
        )
        for _ in range(runs)
    ]
    writer.close()
    for end in (fernet, tls):
        end.session.channel.close("done")
        await end.lost_.wait()
    return rounds


async def _dialled(end: End, port: int) -> End:
    await end.session.open_transfers("w")
    end.session.worker = "w"
    await asyncio.get_running_loop().create_connection(lambda: end.session.channel, "127.0.0.1", port)
    return end


async def _echoes(end: End, echoes: int) -> float:
    started = time.perf_counter()
    for _ in range(echoes):
        await end.session.request(c.ECHO, _BODY)
    return time.perf_counter() - started


async def _bulk(end: End, size: int) -> float:
    """A window of parts, each asked for as soon as another has come."""
    left, parts = size // PART_BYTES, asyncio.Semaphore(_WINDOW)

    async def part() -> None:
        async with parts:
            assert len(await end.session.channel.request(_READ, b"", _TIMEOUT_S)) == PART_BYTES

    started = time.perf_counter()
    await asyncio.gather(*(part() for _ in range(left)))
    return time.perf_counter() - started


async def _file(end: End, size: int) -> float:
    source = Memory(size)
    started = time.perf_counter()
    await end.session.sender.container(source, OPENING, TransferPath("w", "file.zip"))
    return time.perf_counter() - started


async def _bare_echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, echoes: int) -> float:
    started = time.perf_counter()
    for _ in range(echoes):
        writer.write(_LENGTH.pack(len(_BODY)) + _BODY)
        await reader.readexactly(_LENGTH.size + len(_BODY))
    return time.perf_counter() - started


class _Sink(asyncio.BufferedProtocol):
    """Counts what comes, and looks at nothing."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.done = asyncio.Event()
        self._view = memoryview(bytearray(1 << 20))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self.left -= nbytes
        if self.left <= 0:
            self.done.set()


async def _bare_bulk(port: int, terms: Tls, size: int) -> float:
    sink = _Sink(size)
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: sink, "127.0.0.1", port, ssl=context_for(terms)
    )
    started = time.perf_counter()
    transport.write(_LENGTH.pack(0) + size.to_bytes(8, "big"))
    await sink.done.wait()
    seconds = time.perf_counter() - started
    transport.close()
    return seconds


# the far process


def _far(home: Path, own: Identity, trusted: str, pipe: Pipe) -> None:
    share_freed_memory()
    asyncio.run(_serve(home, Tls(True, own, trusted, 10), pipe))


async def _serve(home: Path, terms: Tls, pipe: Pipe) -> None:
    loop = asyncio.get_running_loop()
    part = bytes(Memory(1 << 20).read(PART_BYTES))
    homes = iter(range(100))

    def accept() -> asyncio.BaseProtocol:
        own = home / str(next(homes))
        (own / "queue/cluster/w").mkdir(parents=True)
        end = _FarEnd(own, part, terms)
        end.session.worker = "w"
        return end.session.channel

    channel = await loop.create_server(accept, "127.0.0.1", 0)
    bare = await asyncio.start_server(_bare, "127.0.0.1", 0, ssl=context_for(terms))
    pipe.send(_Ports(*(server.sockets[0].getsockname()[1] for server in (channel, bare))))
    await loop.run_in_executor(None, pipe.recv)
    for server in (channel, bare):
        server.close()


class _FarEnd(End):
    """Takes a file, gives parts, turns to TLS."""

    def __init__(self, home: Path, part: bytes, terms: Tls) -> None:
        super().__init__(home)
        turn = Turn(terms, lambda: None)
        self.session.also_serve({_READ: lambda _: Reply(part), c.START_TLS: lambda _: Reply(b"", turn=turn)})


async def _bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echoes, or so many bytes if the length is 0."""
    try:
        while True:
            head = await reader.readexactly(_LENGTH.size)
            if length := _LENGTH.unpack(head)[0]:
                writer.write(head + await reader.readexactly(length))
            else:
                await _pour(writer, int.from_bytes(await reader.readexactly(8), "big"))
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


async def _pour(writer: asyncio.StreamWriter, size: int) -> None:
    part = bytes(Memory(1 << 20).read(PART_BYTES))
    for _ in range(size // PART_BYTES):
        writer.write(part)
        await writer.drain()
