"""Nodes whose agents live in a wazuh-db beside them: all arrives there, whatever happens between the two."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from tests.support.cluster import Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.wazuh_db import Fault, WazuhDbDaemon
from tests.support.wazuh_db_store import StoreAnswers

from outrider.model import AgentInfo
from outrider.store.agents import RegisteredAgent
from outrider.store.wazuh_db import open_wazuh_db

SOCKET = Path("queue/db/wdb")
QUICK = {
    "agents.store": "wazuh-db",
    "agents.database_timeout": 5,
    "intervals.worker.sync_agent_info": 2,
    "intervals.master.sync_agent_groups": 2,
    "intervals.master.agent_group_start_delay": 1,
}


class Beside:
    """A node's wazuh-db, ``behind`` it a store in memory, and the node's own store in ``front`` of it."""

    def __init__(self, cluster: Cluster, name: str, behind: MemoryAgents) -> None:
        path, address = cluster.home(name) / SOCKET, cluster.address(name)
        self.daemon = WazuhDbDaemon(path, StoreAnswers(behind))
        self.front = open_wazuh_db(cluster.settings(name, QUICK), cluster.fabric.host(address))
        self._listen = partial(cluster.fabric.serve_local, address, path, self.daemon.serving)

    def start(self) -> None:
        """From now on it is there."""
        self._listen()


async def nodes(cluster: Cluster, theirs: MemoryAgents, ours: MemoryAgents) -> tuple[Beside, Beside]:
    """A master and a worker, each with a wazuh-db that is not there yet."""
    pair = Beside(cluster, "master", theirs), Beside(cluster, "worker1", ours)
    await cluster.master(QUICK, agents=pair[0].front)
    cluster.worker("worker1", QUICK, agents=pair[1].front)
    return pair


def changed(count: int) -> MemoryAgents:
    """Agents that are all to be sent."""
    store = MemoryAgents()
    store.agents = {
        number: AgentInfo(id=number, name=f"agent-{number}", connection_status="active", os_uname="x" * 200)
        for number in range(1, count + 1)
    }
    store.changed = set(store.agents)
    return store


def test_agents_and_groups_travel_from_one_wazuh_db_to_another(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents({1: ("default",), 2: ("default", "web")}), changed(1000)
        theirs.changed_groups = {1, 2}
        pair = await nodes(cluster, theirs, ours)
        for one in pair:
            one.start()
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=60)
        await cluster.until(lambda: ours.known == {1: ("default",), 2: ("default", "web")}, within_s=60)
        for one in pair:
            assert one.daemon.threads == 8
            assert len(one.daemon.connections) <= 2

    simulate(tmp_path, story)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut=0),
        Fault(cut=1000),
        Fault(raw=b"\xff\xff\xff\xff"),
        Fault(say=b"err Cannot execute Global database query; database is locked", times=3),
        Fault(say=b"err Couldn't open DB global", times=3),
    ],
    ids=["closed", "cut", "rubbish", "locked", "closed-database"],
)
@pytest.mark.parametrize("on", [b"global sync-agent-info-get", b"global sync-agent-info-set"])
def test_what_a_wazuh_db_does_in_between_loses_no_agent(tmp_path: Path, fault: Fault, on: bytes) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(1000)
        for one in await nodes(cluster, theirs, ours):
            one.daemon.faults.append(Fault(on, fault.times, None, fault.say, fault.raw, fault.cut))
            one.start()
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=600)

    simulate(tmp_path, story)


def test_a_worker_that_sends_all_again_says_nothing_of_agents_that_only_others_know(tmp_path: Path) -> None:
    """Every daemon knows of every agent that it exists; only one knows more."""

    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(3)
        theirs.agents[7] = AgentInfo(id=7, name="agent-7", connection_status="active", node_name="worker2")
        await ours.register([RegisteredAgent(7, "agent-7", "any")])
        ours.changed.clear()  # the worker before this one read them, and was killed before they lay in its outbox
        for one in await nodes(cluster, theirs, ours):
            one.start()
        await cluster.until(lambda: set(theirs.agents) == {1, 2, 3, 7}, within_s=60)
        await asyncio.sleep(60)
        assert theirs.agents[7].node_name == "worker2"

    simulate(tmp_path, story)


def test_a_wazuh_db_that_comes_late_stops_no_node(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(100)
        cluster.write("master", {"tree/a.conf": b"a\n"})
        pair = await nodes(cluster, theirs, ours)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=120)
        for one in pair:
            one.start()
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=600)

    simulate(tmp_path, story)


def test_an_agent_that_fits_into_no_answer_holds_up_no_other(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(100)
        ours.agents[50] = AgentInfo(id=50, name="giant", connection_status="active", os_uname="x" * 65_100)
        for one in await nodes(cluster, theirs, ours):
            one.start()
        await cluster.until(lambda: len(theirs.agents) == 99, within_s=60)
        assert theirs.agents == {number: one for number, one in ours.agents.items() if number != 50}

    simulate(tmp_path, story)
