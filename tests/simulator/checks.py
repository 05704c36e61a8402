"""What must hold whatever happens (threat 50), looked at while a simulated cluster runs.

- No tree is mixed. A worker on the fast path holds one state of the master's tree at every moment, and never an
  older one than before. A container of the base protocol carries what lay there when it was packed: where the tree
  stayed as it was that is its state, else each file is as it was in one of the states since the scan it rests on.
- No acknowledgement is lost. What a worker's store of agents counts as taken lies in its outbox, or in the master's
  store.
- Generations only grow, and a number means one tree for ever.
- A request runs once at most, and whoever asked gets its own answer, or a failure.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter

import msgspec
from tests.simulator.light import TOUCHED
from tests.simulator.nodes import Files, Machine

from outrider.model import AgentInfo
from outrider.store.outbox import FILE, _oldest
from outrider.sync.generations import Known

_ALL = 1000


class BrokenError(Exception):
    """An invariant does not hold; the text says which, where and how."""


class Trees:
    """No mixed tree."""

    def __init__(self, master: Machine, workers: list[Machine]) -> None:
        self._states: list[Files] = []
        self._scanned = 0  # the state that the master's last scan saw
        self._workers = {worker.name: worker for worker in workers}
        self._stood = dict.fromkeys(self._workers, -1)
        self._held: dict[str, Files] = {worker.name: {} for worker in workers}
        self._since: dict[str, list[int]] = {worker.name: [] for worker in workers}
        self._master = master
        master.disk_calls = self._master_worked
        for worker in workers:
            worker.disk_calls = lambda call, worker=worker: self._worker_worked(worker, call)  # type: ignore[misc]

    def changed(self) -> None:
        """The master's tree is another now."""
        self._states.append(self._master.tree())

    def check(self) -> None:
        """At any moment: each tree is what its last apply made of it."""
        for worker in self._workers.values():
            if (holds := worker.tree()) != self._held[worker.name]:
                self._exact(worker, holds)

    def _master_worked(self, call: str) -> None:
        if call == "scan":
            self._scanned = len(self._states) - 1

    def _worker_worked(self, worker: Machine, call: str) -> None:
        match call:
            case "scan":
                self._since[worker.name].append(self._scanned)
            case "apply_bundle":
                self._exact(worker, worker.tree())
            case "apply":
                self._from_container(worker, worker.tree())

    def _exact(self, worker: Machine, holds: Files) -> None:
        name = worker.name
        at = next((at for at in reversed(range(len(self._states))) if self._states[at] == holds), -1)
        if not holds and at < 0 and not self._held[name]:
            return  # nothing has come yet
        if at < self._stood[name]:
            what = "no state that the master's ever had" if at < 0 else "an older state than before"
            raise BrokenError(f"mixed tree: that of {name} is in {what}: {_told(holds)}")
        self._stood[name], self._held[name] = at, holds

    def _from_container(self, worker: Machine, holds: Files) -> None:
        """Several may have been sent since the last apply, over connections that were lost: it is one of them."""
        name, before = worker.name, self._held[worker.name]
        since = self._states[min(self._since[name], default=0) :]
        self._since[name].clear()
        for path in before.keys() | holds.keys() | set().union(*since):
            had = {state.get(path) for state in since}
            if len(had) > 1:
                had.add(before.get(path))  # a file that changes while it is packed waits for the next round
            if holds.get(path) not in had:
                raise BrokenError(f"mixed tree: {path} of {name} is in no state since the scan: {_told(holds)}")
        self._held[name] = holds
        if len(since) == 1:
            self._stood[name] = len(self._states) - 1


class Agents:
    """No lost acknowledgement."""

    def __init__(self, master: Machine, workers: list[Machine]) -> None:
        self._master = master
        self._on_the_way: dict[str, dict[int, int]] = {worker.name: {} for worker in workers}
        self._workers = workers

    def changed(self, worker: Machine, agent: int, version: int) -> None:
        """An agent of ``worker`` has reported something new."""
        known = AgentInfo(id=agent, name=f"agent{agent}", connection_status="active", version=str(version))
        worker.agents.agents[agent] = known
        worker.agents.changed.add(agent)
        self._on_the_way[worker.name][agent] = version

    def check(self) -> None:
        """What no store of a worker will hand out again is in its outbox or at the master."""
        at_master = self._master.agents.agents
        for worker in self._workers:
            waiting = self._on_the_way[worker.name]
            for agent in [one for one, version in waiting.items() if _version(at_master.get(one)) >= version]:
                del waiting[agent]
            taken = waiting.keys() - worker.agents.changed
            if taken and (lost := {one for one in taken if _outbox(worker).get(one, -1) < waiting[one]}):
                raise BrokenError(
                    f"lost acknowledgement: agents {sorted(lost)} of {worker.name} are neither here nor there"
                )

    def check_end(self) -> None:
        """In the end the master knows what each worker does."""
        for worker in self._workers:
            for agent, known in worker.agents.agents.items():
                if self._master.agents.agents.get(agent) != known:
                    raise BrokenError(
                        f"lost acknowledgement: the master has not what {worker.name} knows of agent {agent}"
                    )

    @property
    def delivered(self) -> bool:
        """Whether nothing is on its way any more."""
        self.check()
        return not any(self._on_the_way.values())


class Numbers:
    """Generations only grow."""

    def __init__(self, master: Machine, workers: list[Machine]) -> None:
        self._kept = str(master.home / ".outrider" / "generations")
        self._standings = [(worker, str(worker.home / ".outrider" / "standing.json")) for worker in workers]
        self._touched: dict[str, int] = {}
        self._latest = 0
        self._roots: dict[tuple[str, int], str] = {}
        self._known: dict[str, Known] = {}

    def check(self) -> None:
        """At the master and at each worker, on disk, where they outlive every crash."""
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(self._kept)  # noqa: PTH208  (half the time of a Path's)
        latest = max((int(name.partition(".")[0]) for name in names if name.endswith(".generation")), default=0)
        if latest < self._latest:
            raise BrokenError(f"generations only grow: the master went from {self._latest} back to {latest}")
        self._latest = latest
        for worker, standing in self._standings:
            if self._touched.get(worker.name) != worker.touched:
                self._touched[worker.name] = worker.touched
                with contextlib.suppress(FileNotFoundError), open(standing, "rb") as file:  # noqa: PTH123  (as above)
                    self._check(worker.name, file.read())

    def _check(self, name: str, standing: bytes) -> None:
        known, before = msgspec.json.decode(standing, type=Known), self._known.get(name, Known())
        self._known[name] = known
        if known.lineage == before.lineage and known.number < before.number:
            raise BrokenError(f"generations only grow: {name} went from {before.number} back to {known.number}")
        if known.number > self._latest:
            raise BrokenError(f"generations only grow: {name} stands at {known.number}, the master has {self._latest}")
        if self._roots.setdefault((known.lineage, known.number), known.root) != known.root:
            raise BrokenError(f"generations only grow: {known.number} means another tree at {name} than elsewhere")


def check_requests() -> None:
    """No request ran twice at one node."""
    if twice := [token for (token, _), count in Counter(TOUCHED).items() if count > 1]:
        raise BrokenError(f"requests: {twice} ran more than once at one node")


def _outbox(worker: Machine) -> dict[int, int]:
    """Agents that wait in a worker's outbox, with their latest version."""
    with contextlib.closing(sqlite3.connect(worker.home / FILE)) as db:
        chunks = [msgspec.json.decode(chunk.text, type=list[AgentInfo]) for chunk in _oldest(db, _ALL)]
    return {agent.id: _version(agent) for chunk in chunks for agent in chunk}


def _version(agent: AgentInfo | None) -> int:
    return -1 if agent is None or agent.version is None else int(agent.version)


def _told(files: Files) -> str:
    return ", ".join(f"{path} {content[:12]!r}" for path, content in sorted(files.items()))
