"""Agents and groups beside what should not be: stores that raise, a locked outbox, answers without end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from tests.support.channels import say
from tests.support.cluster import Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.peers import played_worker
from tests.support.sqlite_store import full_agent

from outrider.errors import RefusedByPeer
from outrider.model import AgentInfo
from outrider.protocol import commands as c
from outrider.store.agents import AgentsPart

OFTEN = {
    "intervals.master.agent_group_start_delay": 1,
    "intervals.master.sync_agent_groups": 5,
    "intervals.worker.sync_agent_info": 5,
}


class RaisesOnce(MemoryAgents):
    """A host's store in which one method fails once in a way that is no error of ours, as a driver's would be."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._trips = [method]

    def _trip(self, method: str) -> None:
        if method in self._trips:
            self._trips.remove(method)
            raise RuntimeError("the driver of a host's database")

    async def changed_agents(self) -> AgentsPart:
        self._trip("changed_agents")
        return await super().changed_agents()

    async def taken(self, agents: Sequence[AgentInfo]) -> None:
        self._trip("taken")
        await super().taken(agents)

    async def send_all_again(self) -> None:
        self._trip("send_all_again")
        await super().send_all_again()

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        self._trip("store_agents")
        await super().store_agents(agents)


@pytest.mark.parametrize("method", ["changed_agents", "taken", "send_all_again"])
def test_a_worker_goes_on_after_its_host_s_store_raised(tmp_path: Path, method: str) -> None:
    theirs, ours = RaisesOnce(method), MemoryAgents()
    theirs.agents[1] = full_agent(1)
    theirs.changed.add(1)

    async def story(cluster: Cluster) -> None:
        await cluster.master(OFTEN, agents=ours)
        cluster.worker("worker1", OFTEN, agents=theirs)
        await cluster.until(lambda: 1 in ours.agents, within_s=600)

    simulate(tmp_path, story)


def test_a_master_answers_though_its_host_s_store_raised(tmp_path: Path) -> None:
    theirs, ours = MemoryAgents(), RaisesOnce("store_agents")
    theirs.agents[1] = full_agent(1)
    theirs.changed.add(1)

    async def story(cluster: Cluster) -> None:
        await cluster.master(OFTEN, agents=ours)
        cluster.worker("worker1", OFTEN, agents=theirs)
        await cluster.until(lambda: 1 in ours.agents, within_s=60)

    simulate(tmp_path, story)


def test_threat_46_a_locked_outbox_stops_no_worker(tmp_path: Path) -> None:
    held = tmp_path / "worker1" / ".outrider"
    held.mkdir(parents=True)
    db = sqlite3.connect(held / "outbox.db", isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("create table held(yes)")
    db.execute("begin immediate")
    ours, theirs = MemoryAgents(), MemoryAgents()
    theirs.agents[1] = full_agent(1)
    theirs.changed.add(1)

    async def story(cluster: Cluster) -> None:
        cluster.write("master", {"tree/a.conf": b"a\n"})
        await cluster.master(OFTEN, agents=ours)
        cluster.worker("worker1", OFTEN, agents=theirs)
        await cluster.until(lambda: cluster.tree("worker1") == cluster.tree("master"), within_s=60)
        assert not ours.agents
        db.execute("rollback")
        await cluster.until(lambda: 1 in ours.agents, within_s=600)

    try:
        simulate(tmp_path, story)
    finally:
        db.close()


def test_results_of_a_worker_do_not_flood_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        serves = {c.NEW_STR: say(b"9"), c.STR_UPD: say(b"String updated"), c.GROUPS: say(b"9")}
        await cluster.master(OFTEN)
        side = await played_worker(cluster, serves=serves)
        await asyncio.sleep(10)
        many = {"updated_chunks": 0, "error_messages": [""] * 10_000, "time_spent": 0}
        before = len(caplog.records)
        await side.channel.request(c.GROUPS_RESULT, msgspec.json.encode(many), 20)
        assert len(caplog.records) - before < 50
        with pytest.raises(RefusedByPeer, match=r"an answer of .* bytes"):
            await side.channel.request(c.GROUPS_RESULT, b" " * (2 << 20), 20)

    simulate(tmp_path, story)
