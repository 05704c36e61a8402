"""What a master answers of groups, and how sends share the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import structs
from tests.support.channels import Side, say
from tests.support.cluster import Cluster, simulate
from tests.support.grounds import node_ground
from tests.support.loop import run
from tests.support.memory_agents import MemoryAgents
from tests.support.network import Fabric
from tests.support.peers import played_worker
from tests.support.ports import simulated_ports
from tests.support.relay import context_of

from outrider.errors import Refusal, RefusedByPeer
from outrider.master.agent_groups import AgentGroups
from outrider.master.source import Source
from outrider.master.standings import Standings
from outrider.protocol import commands as c
from outrider.relay.context import OF_LOCAL
from outrider.relay.handlers import Handlers

RESULT = b'{"updated_chunks": 1, "error_messages": [], "time_spent": 0.1}'
OFTEN = {"intervals.master.agent_group_start_delay": 5, "intervals.master.sync_agent_groups": 5}
TAKES = {c.NEW_STR: say(b"1"), c.STR_UPD: say(b""), c.GROUPS: say(b"1"), c.FULL_GROUPS: say(b"1")}


def with_master(folder: Path, agents: MemoryAgents, story: Callable[[Side], Coroutine[Any, Any, None]]) -> None:
    async def whole(cluster: Cluster) -> None:
        await cluster.master(OFTEN, agents=agents)
        await story(await played_worker(cluster, serves=TAKES))

    simulate(folder, whole)


def asked(side: Side, name: str) -> int:
    return sum(command == name for command, _ in side.requests)


async def refusal(side: Side, command: c.Command, payload: bytes) -> int:
    with pytest.raises(RefusedByPeer) as refused:
        await side.channel.request(command, payload, 20)
    return refused.value.code


def test_a_result_of_groups_that_were_never_sent_is_refused_with_1000(tmp_path: Path) -> None:
    async def story(side: Side) -> None:
        assert await refusal(side, c.GROUPS_RESULT, RESULT) == 1000
        await asyncio.sleep(6)
        assert await side.channel.request(c.GROUPS_RESULT, RESULT, 20) == b"Thanks"
        assert await refusal(side, c.FULL_GROUPS_RESULT, RESULT) == 1000
        await side.channel.request(c.FULL_GROUPS_REQUEST, b"", 20)
        await asyncio.sleep(1)
        assert await side.channel.request(c.FULL_GROUPS_RESULT, RESULT, 20) == b"Thanks"
        assert await refusal(side, c.GROUPS_RESULT, b"rubbish") == 1000

    with_master(tmp_path, MemoryAgents({1: ("web",)}), story)


def test_errors_of_a_worker_are_logged_and_thanked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(side: Side) -> None:
        assert await side.channel.request(c.GROUPS_ERROR, b"no \xff disk", 20) == b"Thanks"
        assert await side.channel.request(c.FULL_GROUPS_ERROR, b"x" * 5000, 20) == b"Thanks"

    with caplog.at_level(logging.ERROR, "outrider"):
        with_master(tmp_path, MemoryAgents(), story)
    assert [len(record.getMessage()) < 1100 for record in caplog.records] == [True, True]


def test_one_full_send_of_a_worker_at_a_time_and_none_without_agents(tmp_path: Path) -> None:
    ours = MemoryAgents({1: ("web",)})

    async def story(side: Side) -> None:
        ours.seconds = 0.5
        for _ in range(10):
            assert await side.channel.request(c.FULL_GROUPS_REQUEST, b"", 20) == b"Thanks"
        await asyncio.sleep(3)
        assert asked(side, "syn_g_m_w_c") == 1
        ours.known.clear()
        await side.channel.request(c.FULL_GROUPS_REQUEST, b"", 20)
        await asyncio.sleep(4)
        assert asked(side, "syn_g_m_w_c") == 1
        ours.known[2] = ("db",)
        await side.channel.request(c.FULL_GROUPS_REQUEST, b"", 20)
        await asyncio.sleep(4)
        assert asked(side, "syn_g_m_w_c") == 2

    with_master(tmp_path, ours, story)


def test_a_send_that_is_slow_passes_its_turn_on() -> None:
    async def story() -> None:
        ports = simulated_ports(Fabric(Random(1)), "here")
        ground = node_ground(ports, agents=MemoryAgents())
        standings = Standings(Source(ground.tree, ground.live, ports, ground.status))
        groups = AgentGroups(ground, standings, Handlers())
        began: list[float] = []

        async def send(seconds: float) -> None:
            async with groups.turn():
                began.append(asyncio.get_running_loop().time())
                await asyncio.sleep(seconds)

        await asyncio.gather(*(send(100) for _ in range(8)), *(send(1) for _ in range(4)))
        assert began == [0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4]
        await asyncio.gather(*(send(1) for _ in range(6)))
        assert [round(at) for at in began[-6:]] == [102, 102, 102, 102, 103, 103]

    run(story())


def test_no_node_makes_a_master_send_groups_only_a_program_beside_it() -> None:
    async def story() -> None:
        ground, calls = node_ground(simulated_ports(Fabric(Random(1)), "here"), agents=MemoryAgents()), Handlers()
        source = Source(ground.tree, ground.live, ground.ports, ground.status)
        groups = AgentGroups(ground, Standings(source), calls)
        context = context_of(calls)
        with pytest.raises(Refusal, match="only programs on the machine"):
            await groups.send_now(structs.replace(context, caller="worker1"))
        await groups.send_now(structs.replace(context, caller=f"{OF_LOCAL}1"))

    run(story())
