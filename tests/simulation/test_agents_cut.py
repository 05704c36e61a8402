"""A link that is cut at any word of an exchange of agents or groups: nothing stays locked, nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.memory_agents import MemoryAgents

from outrider.model import AgentInfo, GroupAssignment

AGENTS = range(1, 1001)
QUICK = {
    "intervals.worker.sync_agent_info": 2,
    "intervals.worker.agent_groups_mismatch_limit": 2,
    "intervals.worker.sync_integrity": 1000,
    "intervals.master.agent_group_start_delay": 3,
    "intervals.master.sync_agent_groups": 3,
}
LATER = (0.0, 0.03, 0.2)
"""Seconds after a word was written: it is on its way, its answer is, the work that it asks for is."""


async def cut_at(cluster: Cluster, word: str, later: float) -> None:
    await cluster.until(lambda: bool(cluster.trace.of(word)), within_s=60, step_s=0.001)
    await asyncio.sleep(later)
    cluster.fabric.cut(MASTER)


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("word", ["syn_a_w_m_p", "new_str", "str_upd", "syn_a_w_m", "syn_m_a_e"])
def test_agent_information(tmp_path: Path, word: str, later: float) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), MemoryAgents()
        theirs.seconds = ours.seconds = 0.02
        every = [AgentInfo(id=number, name=f"agent-{number}", connection_status="active") for number in AGENTS]
        ours.agents = {agent.id: agent for agent in every}
        ours.changed = set(ours.agents)
        await cluster.master({**QUICK, "intervals.master.agent_group_start_delay": 1000}, agents=theirs)
        cluster.worker("worker1", QUICK, agents=ours)
        await cut_at(cluster, word, later)
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=60)
        ours.agents[7] = AgentInfo(id=7, name="renamed", connection_status="active")
        ours.changed.add(7)
        await cluster.until(lambda: theirs.agents[7].name == "renamed", within_s=60)

    simulate(tmp_path, story)


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("word", ["syn_g_m_w", "syn_w_g_e", "syn_w_g_c", "syn_g_m_w_c", "syn_wgc_e"])
def test_groups(tmp_path: Path, word: str, later: float) -> None:
    """The worker missed them all: two messages differ, then it asks for everything."""

    async def story(cluster: Cluster) -> None:
        ours, theirs = MemoryAgents(dict.fromkeys(AGENTS, ("default", "web"))), MemoryAgents()
        ours.seconds = theirs.seconds = 0.02
        await cluster.master(QUICK, agents=ours)
        cluster.worker("worker1", QUICK, agents=theirs)
        await cut_at(cluster, word, later)
        await cluster.until(lambda: theirs.known == ours.known, within_s=60)
        await ours.set_groups([GroupAssignment(7, ("db",))], "override", "syncreq")
        await cluster.until(lambda: theirs.known[7] == ("db",), within_s=30)

    simulate(tmp_path, story)
