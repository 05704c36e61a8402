"""Groups from end to end: changes, everything, and what is lost on the way and found again by the checksum."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.trace import Said

from outrider.errors import StoreBusyError
from outrider.master import Master
from outrider.model import GroupAssignment
from outrider.store.agents import GroupsQuery
from outrider.worker import Worker

OFTEN = {"intervals.master.agent_group_start_delay": 3, "intervals.master.sync_agent_groups": 10}
GROUPS: dict[int, tuple[str, ...]] = {number: ("default", f"group{number % 7}") for number in range(1, 2501)}


async def nodes(cluster: Cluster, ours: MemoryAgents, *theirs: MemoryAgents, **changes: Any) -> tuple[Master, ...]:
    master = await cluster.master({**OFTEN, **changes}, agents=ours)
    for number, agents in enumerate(theirs, 1):
        cluster.worker(f"worker{number}", changes, agents=agents)
    return (master,)


async def assign(agents: MemoryAgents, groups: dict[int, tuple[str, ...]]) -> None:
    """As the command line does."""
    await agents.set_groups([GroupAssignment(*one) for one in groups.items()], "override", "syncreq")


def gaps(said: list[Said]) -> list[float]:
    return [round(later.time - earlier.time) for earlier, later in pairwise(said)]


def test_changes_reach_two_workers_and_a_message_goes_out_every_round_also_without_any(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, first, second = MemoryAgents(), MemoryAgents(), MemoryAgents()
        await nodes(cluster, ours, first, second)
        await assign(ours, GROUPS)
        await cluster.until(lambda: first.known == second.known == GROUPS, within_s=15)
        ours.calls.clear()
        await assign(ours, {5: (), 7: ("web",)})
        await cluster.until(lambda: first.known == second.known == ours.known, within_s=15)
        assert first.known[7] == ("web",)
        sent = len(cluster.trace.of("syn_g_m_w"))
        ours.calls.clear()
        await cluster.until(lambda: len(cluster.trace.of("syn_g_m_w")) >= sent + 20)
        assert ours.calls == ["groups"] * 10, "one read serves all workers"
        unasked = cluster.trace.of("syn_g_m_w")[sent:]
        to_first = [said for said in unasked if said.receiver.startswith("10.0.1.1")]
        assert set(gaps(to_first)) == {10}
        assert first.changed_groups == second.changed_groups == set()
        results = [json.loads(said.payload) for said in cluster.trace.of("syn_w_g_e")]
        assert all(result["error_messages"] == [] for result in results)
        assert cluster.trace.of("syn_w_g_c") == []

    simulate(tmp_path, story)


def test_a_worker_that_comes_late_asks_for_everything_after_the_limit_of_mismatches(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(GROUPS), MemoryAgents({1: ("old",)})
        await nodes(cluster, ours, theirs)
        await cluster.until(lambda: theirs.known == ours.known, within_s=40)
        (asked,) = cluster.trace.of("syn_w_g_c")
        assert sum(said.time < asked.time for said in cluster.trace.of("syn_g_m_w")) == 3
        assert "recalculate_hashes" in theirs.calls
        (result,) = cluster.trace.of("syn_wgc_e")
        assert json.loads(result.payload)["updated_chunks"] > 1
        before = len(cluster.trace.of("syn_g_m_w"))
        await cluster.until(lambda: len(cluster.trace.of("syn_g_m_w")) >= before + 10)
        assert len(cluster.trace.of("syn_w_g_c")) == 1

    simulate(tmp_path, story)


def test_threat_43_a_mismatch_that_a_full_sync_does_not_cure_is_told_once_and_asked_for_ever_more_rarely(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(GROUPS), MemoryAgents({9001: ("mine",), 9002: ("mine",), 9003: ()})
        await cluster.master(OFTEN, agents=ours)
        worker = cluster.worker("worker1", agents=theirs)
        await cluster.until(lambda: len(cluster.trace.of("syn_w_g_c")) == 5, within_s=5000)
        assert "only this node has: 2" in worker.status.snapshot().notes["agent groups"]
        assert gaps(cluster.trace.of("syn_w_g_c")) == [60, 120, 240, 480]
        await theirs.set_groups([GroupAssignment(9001, ()), GroupAssignment(9002, ())])
        assert theirs.hash() == ours.hash()
        await asyncio.sleep(11)
        assert "agent groups" not in worker.status.snapshot().notes
        await assign(theirs, {9001: ("mine",)})
        await cluster.until(lambda: len(cluster.trace.of("syn_w_g_c")) == 6, within_s=50)

    with caplog.at_level(logging.ERROR, "outrider"):
        simulate(tmp_path, story)
    told = [record.getMessage() for record in caplog.records]
    assert ["only this node has: 2 (9001, 9002)" in line for line in told] == [True, False]
    assert "only this node has: 1 (9001)" in told[1]


def test_a_slow_worker_holds_no_other_up_and_finds_its_way_back(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, quick, slow = MemoryAgents(), MemoryAgents(), MemoryAgents()
        master = await cluster.master(OFTEN, agents=ours)
        cluster.worker("worker1", agents=quick)
        cluster.worker("worker2", agents=slow)
        await cluster.until(lambda: len(master.roster) == 2)
        cluster.fabric.partition(MASTER, "10.0.1.2")
        for number in range(8):
            await assign(ours, {number * 100 + one: (f"round{number}",) for one in range(1, 101)})
            await cluster.until(lambda: quick.known == ours.known, within_s=12)
        assert slow.known == {}
        cluster.fabric.heal()
        await cluster.until(lambda: slow.known == ours.known, within_s=400)

    simulate(tmp_path, story)


def test_a_worker_that_was_away_misses_changes_and_gets_everything(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, first, second = MemoryAgents(), MemoryAgents(), MemoryAgents()
        await cluster.master(OFTEN, agents=ours)
        cluster.worker("worker1", agents=first)
        worker: Worker = cluster.worker("worker2", agents=second)
        await assign(ours, GROUPS)
        await cluster.until(lambda: first.known == second.known == GROUPS, within_s=30)
        await cluster.stop(worker)
        await assign(ours, {1: ("changed",)})
        await cluster.until(lambda: first.known == ours.known, within_s=30)
        assert ours.changed_groups == set()
        cluster.worker("worker2", agents=second)
        await cluster.until(lambda: second.known == ours.known, within_s=60)
        assert len(cluster.trace.of("syn_w_g_c")) == 1

    simulate(tmp_path, story)


def test_a_master_that_ends_between_its_read_and_the_sends_is_healed_by_the_checksum(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(), MemoryAgents()
        await assign(ours, GROUPS)
        while (await ours.groups(GroupsQuery(condition="sync_status", set_synced=True))).more:
            pass
        await nodes(cluster, ours, theirs)
        await cluster.until(lambda: theirs.known == ours.known, within_s=60)

    simulate(tmp_path, story)


def test_many_workers_that_ask_at_once_share_one_read(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(GROUPS), [MemoryAgents() for _ in range(12)]
        ours.seconds = 0.5
        await nodes(cluster, ours, *theirs)
        await cluster.until(lambda: all(one.known == GROUPS for one in theirs), within_s=60)
        assert len(cluster.trace.of("syn_w_g_c")) == 12
        assert ours.calls.count("recalculate_hashes") <= 2

    simulate(tmp_path, story)


def test_a_store_that_fails_for_a_while_delays_groups_and_nothing_else(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(), MemoryAgents()
        await nodes(cluster, ours, theirs)
        await cluster.until(lambda: len(cluster.trace.of("syn_w_g_e")) == 1)
        theirs.fault = StoreBusyError("the database is locked")
        await assign(ours, GROUPS)
        await cluster.until(lambda: bool(cluster.trace.of("syn_w_g_err")), within_s=30)
        said = cluster.trace.of("syn_w_g_err")[0].payload
        assert said == b"error processing agent-groups chunks in process pool: the database is locked"
        theirs.fault = None
        await cluster.until(lambda: theirs.known == ours.known, within_s=60)
        ours.fault = RuntimeError("a host's store")
        sent = len(cluster.trace.of("syn_g_m_w"))
        await cluster.until(lambda: len(ours.calls) > 15)
        ours.fault = None
        await assign(ours, {3: ("late",)})
        await cluster.until(lambda: theirs.known == ours.known, within_s=60)
        assert len(cluster.trace.of("syn_g_m_w")) > sent
        assert len(cluster.fabric.dialled) == 1

    simulate(tmp_path, story)


def test_groups_go_on_over_a_lossy_link(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.fabric.loss, cluster.fabric.latency, cluster.fabric.jitter = 0.3, 0.2, 0.3
        ours, theirs = MemoryAgents(), MemoryAgents()
        await nodes(cluster, ours, theirs)
        for number in range(5):
            await assign(ours, dict.fromkeys(range(number * 300 + 1, number * 300 + 600), (f"round{number}",)))
            await cluster.until(lambda: theirs.known == ours.known, within_s=200)

    simulate(tmp_path, story)


def test_links_that_are_cut_again_and_again_lose_nothing(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(), MemoryAgents()
        theirs.seconds = 0.05
        await nodes(cluster, ours, theirs)
        for number in range(6):
            await assign(ours, dict.fromkeys(range(1, 400), (f"round{number}",)))
            await cluster.until(lambda: bool(cluster.fabric.streams), within_s=30)
            cluster.fabric.cut(MASTER)
        await cluster.until(lambda: theirs.known == ours.known, within_s=200)

    simulate(tmp_path, story)
