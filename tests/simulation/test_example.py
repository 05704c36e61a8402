"""The example package does what its README says: clocks that differ are told, one that was set is told at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.test_agents_docs import OFTEN
from tests.support.cluster import Cluster, simulate
from tests.support.sqlite_store import full_agent

from outrider.kinds.interface import Kind, LinkGround, NodeGround, stateless
from outrider.model import GroupAssignment
from outrider.ports import Ports
from outrider.status import Outcome
from outrider.worker import Worker
from outrider_example.clock import MasterClock, WorkerClock, kind
from outrider_example.memory import MemoryStore


class Skew:
    """Seconds by which one node's clock is ahead."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    def node(self, ground: NodeGround) -> NodeGround:
        return replace(ground, ports=self._ports(ground.ports))

    def _ports(self, ports: Ports) -> Ports:
        wall: Callable[[], float] = ports.wall
        return replace(ports, wall=lambda: wall() + self.seconds)


def kind_of(master: Skew, worker: Skew) -> Kind:
    def worker_clock(link: LinkGround) -> WorkerClock:
        return WorkerClock(replace(link, node=worker.node(link.node)))

    return replace(kind, master=lambda ground: MasterClock(master.node(ground)), worker=stateless(worker_clock))


def last(worker: Worker) -> Outcome | None:
    rounds = worker.status.snapshot().kinds.get("clock")
    return rounds.last if rounds else None


@pytest.mark.parametrize(("seconds", "ok"), [(0, True), (0.9, True), (-3, False), (3600, False)])
def test_a_worker_knows_how_far_its_clock_is_off(tmp_path: Path, seconds: float, ok: bool) -> None:
    async def story(cluster: Cluster) -> None:
        clocks = kind_of(Skew(), Skew(seconds))
        await cluster.master(kinds=[clocks])
        worker = cluster.worker(kinds=[clocks])
        await cluster.until(lambda: last(worker) is not None)
        found = last(worker)
        assert found is not None
        assert found.ok is ok
        assert abs(found.counts["off_ms"] - seconds * 1000) <= found.seconds * 500 + 1

    simulate(tmp_path, story)


def test_when_the_master_s_clock_was_set_workers_look_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        skew = Skew()
        clocks = kind_of(skew, Skew())
        await cluster.master(kinds=[clocks])
        workers = [cluster.worker(name, kinds=[clocks]) for name in ("worker1", "worker2")]
        await cluster.until(lambda: all(last(worker) is not None for worker in workers))
        skew.seconds = 100
        await cluster.until(lambda: all((found := last(worker)) and not found.ok for worker in workers), within_s=10)

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    assert "the clock was set by +100.000 s" in caplog.text
    assert "this clock is -100.0" in caplog.text


def test_a_master_without_the_kind_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        worker = cluster.worker(kinds=[kind])
        await cluster.until(lambda: "does not compare clocks" in caplog.text)
        await cluster.until(lambda: cluster.in_step("worker1"))
        assert "kind_clock_failed" not in worker.status.snapshot().counters

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    assert caplog.text.count("does not compare clocks") == 1


def test_agents_and_groups_travel_between_stores_in_memory(tmp_path: Path) -> None:
    ours, theirs = MemoryStore(), MemoryStore()
    known = {number: full_agent(number) for number in range(1, 51)}

    async def story(cluster: Cluster) -> None:
        await theirs.store_agents([*known.values()])
        await theirs.send_all_again()
        master = await cluster.master(OFTEN, agents=ours)
        cluster.worker("worker1", OFTEN, agents=theirs)
        await cluster.until(lambda: ours._agents == known, within_s=60)
        await master.agents.set_groups([GroupAssignment(7, ("web",))], "append", "syncreq")
        await cluster.until(lambda: theirs._groups[7] == ("web",), within_s=30)
        theirs._groups[7] = ("lost",)
        await cluster.until(lambda: theirs._groups[7] == ("web",), within_s=60)
        await master.agents.set_groups([GroupAssignment(7, ("web",))], "remove", "syncreq")
        await cluster.until(lambda: theirs._groups[7] == (), within_s=60)

    simulate(tmp_path, story)
