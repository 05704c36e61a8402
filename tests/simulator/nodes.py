"""One node of a simulated cluster: what lies on its disk outlives it, however it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Literal

from msgspec import structs
from tests.simulator.disk import Disk
from tests.simulator.light import MASTER_ADDRESS, settings_of
from tests.support.folders import OWN
from tests.support.loop import EPOCH, VirtualLoop
from tests.support.memory_agents import MemoryAgents
from tests.support.network import Fabric
from tests.support.ports import ScriptedWatch

from outrider.master import Master
from outrider.ports import Ports
from outrider.worker import Worker

MASTER = "master"
Files = dict[str, bytes]
_LARGEST = 1 << 20
_LONGEST_S = 60.0
"""Between two rounds, whatever the settings become."""


class _AgentsOfALife(MemoryAgents):
    """The store of agents as one life of a node has it: the dead change nothing in it."""

    __slots__ = ("_disk",)

    def __init__(self, lasting: MemoryAgents, disk: Disk) -> None:
        self.__dict__ = lasting.__dict__
        self._disk = disk

    async def _called(self, name: str) -> None:
        await super()._called(name)
        if self._disk.dead:
            raise asyncio.CancelledError


class Machine:
    """A home, a store of agents, an address; and the node that runs there, if one does."""

    def __init__(self, name: str, home: Path, fabric: Fabric, seed: int, link: str) -> None:
        self.name = name
        self.home = home
        self.link = link
        self.address = MASTER_ADDRESS if name == MASTER else f"10.0.1.{name.removeprefix('worker')}"
        self.agents = MemoryAgents()
        self.node: Master | Worker | None = None
        self.disk = Disk(lambda _: None, lambda: None)
        self.watch = ScriptedWatch()
        self.lives = 0
        self.disk_calls: Callable[[str], None] = lambda _: None
        """Told the name of each piece of work that is over."""
        self._fabric = fabric
        self._seed = seed
        self._running: asyncio.Task[None] | None = None
        self._graves: list[asyncio.Task[Any]] = []  # what waits for ever in the dead is no defect
        (home / "tree").mkdir(parents=True)
        self._tree = str(home / "tree")
        self._transfers = str(home / "queue" / "cluster")
        self.touched = 0
        """How often something has touched the disk: what was read of it holds as long as this stays."""
        self._seen: tuple[int, Files] = -1, {}

    def start(self, slow_s: float = 0.0) -> None:
        """Start a node on what the last one left."""
        self.lives += 1
        self.disk = Disk(self._worked, lambda: self.power_off(half_open=False))
        self.disk.slow_s = slow_s
        self.watch = ScriptedWatch()
        loop = asyncio.get_running_loop()
        ports = Ports(
            monotonic=loop.time,
            wall=lambda: EPOCH + loop.time(),
            cpu=lambda: 0.0,
            random=Random(f"{self._seed} {self.name} {self.lives}"),
            threads=self.disk,
            network=self._fabric.host(self.address),
            watching=self.watch,
            sleep=asyncio.sleep,
        )
        role: Literal["master", "worker"] = "master" if self.name == MASTER else "worker"
        settings = settings_of(role, self.name if role == "worker" else "master-node", self.home, self.link)
        self.agents.listeners.clear()
        agents = _AgentsOfALife(self.agents, self.disk)
        self.node = (Master if role == "master" else Worker)(settings, ports, agents=agents)
        self._running = asyncio.create_task(self.node.run(), name=self.name)

    async def reload(self, factor: float, window: int) -> None:
        """The node takes other settings: its rounds come so much later, or earlier, and so many parts are under way."""
        if self.node is None:
            return
        now = self.node.settings
        rounds, looks = now.intervals.worker.sync_integrity, now.intervals.master.recalculate_integrity
        if max(rounds, looks) * factor > _LONGEST_S:
            factor = 1 / factor
        worker = structs.replace(now.intervals.worker, sync_integrity=rounds * factor)
        master = structs.replace(now.intervals.master, recalculate_integrity=looks * factor)
        intervals = structs.replace(now.intervals, worker=worker, master=master)
        await self.node.reload(structs.replace(now, intervals=intervals, link=structs.replace(now.link, window=window)))

    async def stop(self) -> None:
        """End the node as SIGTERM does."""
        node, running = self.node, self._running
        if node is not None and running is not None:
            await node.stop()
            await asyncio.wait([running])
            if self.node is node:
                running.result()
                self.node = None

    def power_off(self, *, half_open: bool) -> None:
        """The node is dead from this moment on; its peers see that, or hear nothing more if ``half_open``.

        What of it still unwinds reaches neither disk nor network nor agents, so that nobody waits for it.
        """
        if self.node is None or self._running is None:
            return
        self.disk.dead = True
        self._fabric.power_off(self.address, half_open=half_open)
        self.disk.close()
        self.node._home.close()
        self.node = None
        self._running.cancel()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._graves += loop.pending()

    def tree(self) -> Files:
        """Every file of its tree."""
        if self._seen[0] != self.touched:
            self._seen = self.touched, _files(self._tree, "")
        return self._seen[1]

    def _worked(self, call: str) -> None:
        self.touched += 1
        self.disk_calls(call)

    def left_transfers(self) -> list[str]:
        """Files of transfers that still lie here."""
        return list(_files(self._transfers, ""))


def _files(folder: str, prefix: str) -> Files:
    """Quicker than a walk with paths, which is what a simulation would spend its time on."""
    found: Files = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != OWN:
                    found |= _files(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                handle = os.open(entry.path, os.O_RDONLY)
                found[prefix + entry.name] = os.read(handle, _LARGEST)
                os.close(handle)
    return found
