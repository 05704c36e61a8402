"""A simulated cluster: a master and five workers on one clock, one network and one seeded source of chance."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from tests.simulator.checks import Agents, BrokenError, Numbers, Trees, check_requests
from tests.simulator.light import TOUCH
from tests.simulator.nodes import MASTER, Machine
from tests.support.loop import EPOCH
from tests.support.network import Fabric
from tests.support.requests import ask

from outrider.errors import OutriderError
from outrider.master import Master
from outrider.relay.routes import Answer

WORKERS = 5
_CALM_S = 400


class World:
    """See the module."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        chance = Random(f"world {seed}")
        self.fabric = Fabric(chance)
        self.fabric.bytes_per_second = float("inf")  # how well a disk's times shrink must not move anything
        self.fabric.tap(self._heard)
        self.trace = blake2b(digest_size=16)
        self.messages = 0
        links = ["any" if chance.random() < 0.75 else "base" for _ in range(WORKERS)]
        self.master = Machine(MASTER, folder / MASTER, self.fabric, seed, "any")
        names = [f"worker{number}" for number in range(1, WORKERS + 1)]
        self.workers = [
            Machine(one, folder / one, self.fabric, seed, link) for one, link in zip(names, links, strict=True)
        ]
        self.machines = [self.master, *self.workers]
        self.trees = Trees(self.master, self.workers)
        self.agents = Agents(self.master, self.workers)
        self.numbers = Numbers(self.master, self.workers)
        self._begun: dict[asyncio.Task[None], None] = {}

    # life and death

    def start(self) -> None:
        """All nodes start at once."""
        for machine in self.machines:
            machine.start()

    async def restart(self, machine: Machine) -> None:
        """An orderly end, and a new start."""
        await machine.stop()
        if machine.node is None:
            machine.start()

    async def back_after(self, machine: Machine, seconds: float) -> None:
        """Whoever died is started again; whoever has not, lives on."""
        await asyncio.sleep(seconds)
        if machine.node is None:
            machine.start()

    async def calm(self) -> None:
        """Nothing happens any more; all must come together."""
        self.fabric.heal()
        self.fabric.loss = self.fabric.jitter = 0
        for machine in self.machines:
            machine.disk.doom = None
            machine.disk.slow_s = 0
            if machine.node is None:
                machine.start()
        loop = asyncio.get_running_loop()
        until = loop.time() + _CALM_S
        while (why := self.apart()) is not None:
            if loop.time() > until:
                raise BrokenError(f"no convergence within {_CALM_S} s of calm: {why}")
            await asyncio.sleep(2)
        self.agents.check_end()

    def apart(self) -> str | None:
        """What is not yet as it must be in the end: first what costs nothing to see."""
        if self._begun:
            return f"{next(iter(self._begun)).get_name()} has not ended"
        if not self.agents.delivered:
            return "agents are on their way"
        for worker in self.workers:
            if worker.agents.hash() != self.master.agents.hash():
                return f"{worker.name} has other groups than the master"
        wanted = self.master.tree()
        for worker in self.workers:
            if worker.tree() != wanted:
                return f"the tree of {worker.name} is not the master's"
        return None

    def left_transfers(self) -> list[str]:
        """Nodes where files of transfers still lie."""
        return [machine.name for machine in self.machines if machine.left_transfers()]

    async def end(self) -> None:
        """Every node ends: half of them in order."""
        for number, machine in enumerate(self.machines):
            if machine.node is not None:
                if (number + self.seed) % 2:
                    machine.power_off(half_open=False)
                else:
                    await machine.stop()

    def check(self) -> None:
        """All that must hold at any moment."""
        self.trees.check()
        self.agents.check()
        self.numbers.check()
        check_requests()

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Something that takes its time and must come to an end."""
        task = asyncio.create_task(work, name=name)
        self._begun[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._begun.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": task.get_name(), "exception": error})

    # what happens

    def write(self, path: str, content: bytes) -> None:
        """Write a file of the master's tree, with a time that is the same in every run."""
        file = self.master.home / "tree" / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (EPOCH, EPOCH + len(content)))
        self.master.touched += 1

    def remove(self, path: str) -> None:
        """Remove a file of the master's tree."""
        (self.master.home / "tree" / path).unlink()
        self.master.touched += 1

    def ask(self, asks: Machine, answers: Machine, token: int) -> None:
        """A program beside one node asks another: the master, or a worker by way of the master."""
        if asks.node is not None:
            self.begin(self._asked(asks, answers, token), f"request {token}")

    async def _asked(self, asks: Machine, answers: Machine, token: int) -> None:
        request = ask(TOUCH, {"token": token}, request_type="local_master")
        try:
            answer = await self._route(asks, answers, request)
        except (OutriderError, asyncio.CancelledError):
            return  # a failure is told; whoever died tells nothing
        if answer.ok and b"__wazuh_exception__" not in answer.body and answer.body != b"%d" % token:
            raise BrokenError(f"requests: {token} got another's answer: {answer.body!r}")

    @staticmethod
    async def _route(asks: Machine, answers: Machine, request: bytes) -> Answer:
        node = asks.node
        assert node is not None
        if isinstance(node, Master):
            return await node.routes.forward("1", answers.name, request)
        return await node.routes.ask("1", request)

    def _heard(self, time: float, sender: str, receiver: str, data: bytes) -> None:
        """The trace: who said what to whom, and when. Contents hold times of a real disk, and chance of a cipher."""
        self.messages += 1
        self.trace.update(b"%.9f %s %s " % (time, sender.encode(), receiver.encode()) + data[8:20])
