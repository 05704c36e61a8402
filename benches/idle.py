"""1,000 workers that have nothing to do, on one master: what its CPU and its memory are for each.

The workers are links and nothing more, all in one other process: our hello, and then keep-alives, on plain links; or
our hello, probe and TLS, and then the question whether the tree is in step as well, every 9 s as a worker of 4.9.2 asks
(ours does every 300 s: a push tells it). A plain link asks no such question here, since the base protocol's has no
place in a row about links. They are spread over their interval, as those of nodes are that start by chance.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from benches.cluster import Resident, disk, resident
from benches.rows import Row
from benches.sync import make_tree
from outrider import Settings
from outrider.exchange.credentials import Credentials
from outrider.exchange.extension import extension_of
from outrider.exchange.session import Ground, Session
from outrider.logs import Tag, task_logger
from outrider.ports import Ports
from outrider.protocol import commands as c
from outrider.protocol import generations as g
from outrider.protocol.bodies import Hello
from outrider.protocol.commands import Command
from outrider.protocol.seal import KeyRing
from outrider.settings import Live
from outrider.status import Status
from outrider.store.home import Home
from outrider.store.standing import Standing
from outrider.transport.answers import Reply
from outrider.transport.channel import Channel
from outrider.worker.extending import MasterExtension
from outrider.world import real_ports

_PAGE = os.sysconf("SC_PAGE_SIZE")
_QUESTION_S = 9
_AT_ONCE = 20  # links that are being made: a master gives each handshake a deadline


def run(*, short: bool) -> list[Row]:
    """Plain links, then links inside TLS."""
    workers, files, seconds = (50, 100, 3) if short else (1_000, 10_000, 60)
    rows = []
    for require, title in (("base", "plain links"), ("extended", "inside TLS")):
        with tempfile.TemporaryDirectory(dir=disk()) as base:
            share, kib = asyncio.run(_measured(Path(base), require, workers, files, seconds))
        name, wanted = f"{workers:,} idle workers, {title}", require == "base"
        rows += [
            Row(f"{name}: the master's core", share * 100, "wanted", 5, "< 5%" if wanted else "", "%"),
            Row(f"{name}: memory for each", kib, "wanted", 100, "<= 100 KB" if wanted else "", "KiB"),
        ]
    return rows


async def _measured(base: Path, require: str, workers: int, files: int, seconds: float) -> tuple[float, float]:
    """The share of a core and the KiB for each worker."""

    def fill(home: Path) -> None:
        make_tree(home / "tree", files, total=8_400 * files)

    async with resident(base, fill) as nodes:
        return await asyncio.to_thread(_crowd, nodes, base, require, workers, seconds)


def _crowd(nodes: Resident, base: Path, require: str, workers: int, seconds: float) -> tuple[float, float]:
    here, there = multiprocessing.get_context("spawn").Pipe()
    pid = nodes.master.pid
    before = _resident_kib(pid)
    arguments = (base, nodes.master.port, require, workers, there)
    process = multiprocessing.get_context("spawn").Process(target=_workers, args=arguments)
    process.start()
    try:
        if here.recv() != "joined":
            raise RuntimeError("the workers cannot join")
        time.sleep(2)
        share = _share(pid, seconds)
        return share, (_resident_kib(pid) - before) / workers
    finally:
        process.terminate()
        process.join()


def _share(pid: int, seconds: float) -> float:
    before, started = _run_s(pid), time.perf_counter()
    time.sleep(seconds)
    return (_run_s(pid) - before) / (time.perf_counter() - started)


def _run_s(pid: int) -> float:
    """CPU seconds of the threads that live, finer than the ticks of ``stat``."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _resident_kib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1024


# the other process


class _Idle:
    """One worker's link."""

    def __init__(self, ground: Ground, port: int) -> None:
        self._ground, self._port = ground, port
        self.session = Session(ground, self)
        log = task_logger(Tag.CLUSTER, ground.live.now.node.name)
        self._extension = MasterExtension(
            self.session, ground.extension, f"127.0.0.1:{port}", ports=ground.ports, status=Status(), log=log
        )

    def connected(self, channel: Channel) -> None:
        """Hello follows."""

    def process_request(self, command: Command, payload: bytes) -> Reply | Awaitable[Reply]:
        """As a handler does."""
        return self.session.serve(command, payload)

    def lost(self, reason: str) -> None:
        """A crowd that shrinks measures nothing."""
        raise SystemExit(f"{self.session.worker} has been lost: {reason}")

    async def join(self) -> None:
        """Say hello, and extend the link if that is wanted."""
        node = self._ground.live.now.node
        await self.session.open_transfers(node.name)
        self.session.worker = node.name
        await asyncio.get_running_loop().create_connection(lambda: self.session.channel, "127.0.0.1", self._port)
        await self.session.request(c.HELLO, Hello(node.name, node.cluster, "worker", node.wire_version).encode())
        await self._extension.extend()

    async def repeat(self, command: Command, payload: bytes, interval_s: float, first_s: float) -> None:
        """Ask the same again and again; a tree that is not in step is an error."""
        await asyncio.sleep(first_s)
        while True:
            answer = await self.session.request(command, payload)
            if command is c.GEN_CHECK and not isinstance(g.decode_answer(answer), g.InStep):
                raise SystemExit("the tree is not in step, so that this is no idle worker")
            await asyncio.sleep(interval_s)


def _workers(base: Path, port: int, require: str, workers: int, pipe: Pipe) -> None:
    asyncio.run(_stay(base, port, require, workers, pipe))


async def _stay(base: Path, port: int, require: str, workers: int, pipe: Pipe) -> None:
    ports = real_ports()
    known = Standing(base / "worker1", ports.threads)
    await known.open()
    question = g.encode(g.Standing(bytes.fromhex(known.known.root), known.known.number))
    slots = asyncio.Semaphore(_AT_ONCE)

    async def joined(number: int) -> _Idle:
        async with slots:
            idle = _Idle(await _ground(base, ports, port, require, number), port)
            await idle.join()
            return idle

    crowd = await asyncio.gather(*map(joined, range(workers)))
    alive_s = Settings.from_mapping({}).intervals.worker.keep_alive
    async with asyncio.TaskGroup() as tasks:
        for number, idle in enumerate(crowd):
            place = number / workers
            tasks.create_task(idle.repeat(c.KEEP_ALIVE, b"keepalive", alive_s, place * alive_s))
            if require == "extended":
                tasks.create_task(idle.repeat(c.GEN_CHECK, question, _QUESTION_S, place * _QUESTION_S))
        pipe.send("joined")


async def _ground(base: Path, ports: Ports, port: int, require: str, number: int) -> Ground:
    folder = base / "crowd" / str(number)
    folder.mkdir(parents=True)
    link = {"nodes": ["127.0.0.1"], "port": port, "key": (base / "key").read_text().strip(), "require": require}
    settings = Settings.from_mapping({"node": {"home": str(folder), "name": f"idle{number}"}, "link": link})
    home = Home(folder)
    home.open()
    live = Live(settings)
    credentials = await Credentials.of(settings, ports, folder, Status(), "worker")
    extension = await extension_of(live, ports, folder, credentials, ("generations",))
    return Ground(live, ports, home, KeyRing([str(link["key"]).encode()]), extension)
