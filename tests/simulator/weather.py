"""What happens to a simulated cluster: one thing at a time, drawn by the seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from tests.simulator.disk import Doom
from tests.simulator.nodes import Machine
from tests.simulator.world import World

from outrider.model import GroupAssignment

_PAUSES_S = (1.0, 2.0, 4.0)
"""Seconds between two things, on average: some seeds give the nodes no time to breathe, others to come together."""
_DOWN_S = 10.0
_GROUPS = ("default", "linux", "web", "db")


class Weather:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(f"weather {world.seed}")
        self._pause_s = self._random.choice(_PAUSES_S)
        self._version = 0
        self._token = 0
        self._things: dict[Callable[[], None], int] = {
            self.change: 6,
            self.remove: 2,
            self.agent_reports: 4,
            self.regroup: 2,
            self.request: 4,
            self.cut: 2,
            self.freeze: 1,
            self.part: 2,
            self.heal: 3,
            self.thicken: 2,
            self.slow_disk: 2,
            self.power_cut: 4,
            self.power_cut_at_work: 4,
            self.restart: 1,
            self.other_settings: 2,
        }

    async def happen(self) -> None:
        """One thing, and a while in which it shows."""
        (thing,) = self._random.choices(list(self._things), list(self._things.values()))
        thing()
        await asyncio.sleep(self._random.expovariate(1 / self._pause_s))

    # what people and agents do

    def change(self) -> None:
        """Some files are written anew."""
        self._version += 1
        for _ in range(self._random.randrange(1, 4)):
            path = f"{self._random.randrange(2)}/{self._random.randrange(4)}"
            self._world.write(path, b"%d %s" % (self._version, self._random.randbytes(self._random.randrange(60))))
        self._told()

    def remove(self) -> None:
        there = sorted(self._world.master.tree())
        for path in self._random.sample(there, len(there) // 3):
            self._world.remove(path)
        self._told()

    def _told(self) -> None:
        """The watch sees it, or does not."""
        self._world.trees.changed()
        if self._random.random() < 0.7:
            self._world.master.watch.tell("tree/")

    def agent_reports(self) -> None:
        self._version += 1
        worker = self._random.choice(self._world.workers)
        agent = 10 * int(worker.address.rpartition(".")[2]) + self._random.randrange(3)
        self._world.agents.changed(worker, agent, self._version)

    def regroup(self) -> None:
        known = sorted(self._world.master.agents.known)
        if known:
            groups = tuple(self._random.sample(_GROUPS, self._random.randrange(1, 4)))
            assignment = GroupAssignment(self._random.choice(known), groups)
            self._world.begin(
                self._world.master.agents.set_groups([assignment], status="syncreq"), "a change of groups"
            )

    def request(self) -> None:
        self._token += 1
        asks, answers = self._random.sample([self._world.master, *self._world.workers], 2)
        self._world.ask(asks, answers, self._token)

    # what networks do

    def cut(self) -> None:
        self._world.fabric.cut(self._anybody().address)

    def freeze(self) -> None:
        self._world.fabric.freeze(self._anybody().address)

    def part(self) -> None:
        worker = self._random.choice(self._world.workers)
        self._world.fabric.partition(self._world.master.address, worker.address)

    def heal(self) -> None:
        self._world.fabric.heal()

    def thicken(self) -> None:
        self._world.fabric.loss = self._random.choice((0, 0.1, 0.5))
        self._world.fabric.jitter = self._random.choice((0, 0.05, 1.0))

    # what machines do

    def slow_disk(self) -> None:
        self._anybody().disk.slow_s = self._random.choice((0.05, 0.5, 2.0))

    def power_cut(self) -> None:
        machine = self._anybody()
        machine.power_off(half_open=self._random.random() < 0.3)
        self._back(machine)

    def power_cut_at_work(self) -> None:
        machine = self._anybody()
        machine.disk.doom = Doom(self._random.randrange(1, 25), self._random.random() < 0.5)
        self._back(machine)

    def restart(self) -> None:
        machine = self._anybody()
        self._world.begin(self._world.restart(machine), f"the restart of {machine.name}")

    def other_settings(self) -> None:
        """Threat 48: a connection that this breaks would lose what is under way."""
        machine = self._anybody()
        change = machine.reload(self._random.choice((0.5, 2.0)), self._random.choice((1, 2, 16)))
        self._world.begin(change, f"other settings of {machine.name}")

    def _back(self, machine: Machine) -> None:
        self._world.begin(
            self._world.back_after(machine, self._random.expovariate(1 / _DOWN_S)), f"{machine.name} is off"
        )

    def _anybody(self) -> Machine:
        return self._random.choice([self._world.master, *self._world.workers, *self._world.workers])
