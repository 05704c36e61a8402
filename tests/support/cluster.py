"""A whole cluster in one process: a master and workers on folders of their own, in virtual time, from one seed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from tests.support.folders import files_below
from tests.support.loop import EPOCH, run
from tests.support.memory_agents import MemoryAgents
from tests.support.network import Fabric
from tests.support.ports import InlineThreads, ScriptedWatch, simulated_ports
from tests.support.trace import Trace

from outrider.hooks import Hooks
from outrider.kinds.interface import Kind
from outrider.master import Master
from outrider.ports import Ports
from outrider.settings import Settings
from outrider.store.agents import AgentStore
from outrider.worker import Worker

N = TypeVar("N", Master, Worker)
KEY = "0123456789abcdefghijklmnopqrstuv"
MASTER = "10.0.0.1"
PORT = 1516
TREE = {"tree/a.conf": b"a\n", "tree/sub/b.conf": b"b\n" * 100, "tree/sub/deep/c.bin": bytes(range(256)) * 512}


class Cluster:
    """See the module. Nodes run as tasks; :meth:`close` stops what still runs."""

    def __init__(self, folder: Path, seed: int = 1, link: str = "any") -> None:
        self.folder = folder
        self.link = link
        self.seed = seed
        self.fabric = Fabric(Random(seed))
        self.trace = Trace(KEY.encode())
        self.fabric.tap(self.trace.see)
        self._running: dict[Master | Worker, asyncio.Task[None]] = {}
        self._addresses: dict[str, str] = {}

    # nodes

    def settings(self, name: str, changes: Mapping[str, Any] | None = None) -> Settings:
        """Settings of a node on the home ``name``, which is made if need be; ``None`` takes one away."""
        home = self.home(name)
        (home / "tree").mkdir(parents=True, exist_ok=True)
        plain = {
            "node.home": str(home),
            "node.name": "master-node" if name == "master" else name,
            "link.nodes": [MASTER],
            "link.key": KEY,
            "link.require": self.link,
            "tree.files": [{"folder": "tree/", "remove_subdirs_if_empty": True}],
        }
        given = {**plain, **(changes or {})}
        return Settings.from_mapping({key: value for key, value in given.items() if value is not None})

    def home(self, name: str) -> Path:
        return self.folder / name

    def address(self, name: str) -> str:
        """Each name's own: the master's is known to all, the others follow in the order of their first use."""
        return self._addresses.setdefault(name, MASTER if name == "master" else f"10.0.1.{len(self._addresses) + 1}")

    async def master(
        self,
        changes: Mapping[str, Any] | None = None,
        *,
        agents: AgentStore | None = None,
        kinds: Iterable[Kind] = (),
        hooks: Hooks | None = None,
    ) -> Master:
        """Start a master; it listens when this returns."""
        ports = simulated_ports(self.fabric, MASTER, self.seed)
        master = Master(
            self.settings("master", changes), ports, agents=agents or MemoryAgents(), kinds=kinds, hooks=hooks
        )
        self._start(master)
        await self.until(master.started.is_set)
        return master

    def worker(
        self,
        name: str = "worker1",
        changes: Mapping[str, Any] | None = None,
        *,
        random: Random | None = None,
        agents: AgentStore | None = None,
        kinds: Iterable[Kind] = (),
        hooks: Hooks | None = None,
        clock_ahead_s: float = 0,
    ) -> Worker:
        """Start a worker, whose clock may go ahead of the others'."""
        ports = simulated_ports(self.fabric, self.address(name), self.seed, random=random)
        if clock_ahead_s:
            right = ports.wall
            ports = replace(ports, wall=lambda: right() + clock_ahead_s)
        worker = Worker(self.settings(name, changes), ports, agents=agents or MemoryAgents(), kinds=kinds, hooks=hooks)
        self._start(worker)
        return worker

    def started(self, node: N) -> N:
        """Start a node that a test made itself, on :meth:`ports` and :meth:`agents`."""
        self._start(node)
        return node

    def ports(self, name: str) -> Ports:
        """The world of a node of this name."""
        return simulated_ports(self.fabric, self.address(name), self.seed)

    def agents(self) -> AgentStore:
        """A store with nothing in it."""
        return MemoryAgents()

    async def stop(self, node: Master | Worker) -> None:
        """Stop a node as SIGTERM does; its error is raised here."""
        await node.stop()
        await self._running.pop(node)

    def slow_threads(self, node: Master | Worker, seconds: float) -> None:
        """From now on each piece of work that ``node`` hands to a thread takes this long."""
        threads = node._ports.threads
        assert isinstance(threads, InlineThreads)
        threads.seconds = seconds

    def changed(self, node: Master | Worker, *folders: str, lost: bool = False) -> None:
        """The watch of ``node`` tells that files in these folders were changed."""
        watching = node._ports.watching
        assert isinstance(watching, ScriptedWatch)
        watching.tell(*folders, lost=lost)

    def scans(self, node: Master | Worker) -> int:
        """How often ``node`` has looked at its tree."""
        threads = node._ports.threads
        assert isinstance(threads, InlineThreads)
        return threads.calls.count("scan")

    async def close(self) -> None:
        for node in reversed(list(self._running)):
            await self.stop(node)

    def _start(self, node: Master | Worker) -> None:
        self._running[node] = asyncio.create_task(node.run(), name=node.settings.node.name)

    # files and facts

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write files below a home, with times that are the same in every run."""
        for path, content in files.items():
            file = self.home(name) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            os.utime(file, (EPOCH, EPOCH + len(content)))

    def random_bytes(self, size: int) -> bytes:
        """What no compression makes smaller."""
        return Random(self.seed).randbytes(size)

    def tree(self, name: str) -> dict[str, bytes]:
        """Every file of a node's tree."""
        return files_below(self.home(name), "tree")

    def transfers(self, name: str) -> list[Path]:
        """Files that transfers left on a node."""
        return [path for path in (self.home(name) / "queue" / "cluster").rglob("*") if not path.is_dir()]

    def in_step(self, *names: str) -> bool:
        """Whether these workers hold what the master holds."""
        wanted = self.tree("master")
        return all(self.tree(name) == wanted for name in names)

    async def until(self, true: Callable[[], bool], within_s: float = 600, step_s: float = 0.25) -> float:
        """Let virtual time pass until something is true; how long that took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not true():
            if loop.time() - started > within_s:
                raise AssertionError(f"not true within {within_s} s")
            await asyncio.sleep(step_s)
        return loop.time() - started


def simulate(
    folder: Path, story: Callable[[Cluster], Coroutine[Any, Any, None]], seed: int = 1, *, link: str = "any"
) -> Cluster:
    """Run ``story`` with a cluster below ``folder``, then stop every node; ``link`` is what its nodes require."""
    clusters: list[Cluster] = []

    async def whole() -> None:
        cluster = Cluster(folder, seed, link)
        clusters.append(cluster)
        try:
            await story(cluster)
        finally:
            await cluster.close()

    run(whole())
    return clusters[0]
