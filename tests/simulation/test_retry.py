"""Nodes that try again for a long time: few lines, no herd, and at once when the cause is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import refuse
from tests.support.cluster import KEY, TREE, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.peers import PlayedMaster
from tests.support.wazuh_db import WazuhDbDaemon
from tests.support.wazuh_db_store import StoreAnswers

from outrider.model import AgentInfo
from outrider.protocol import commands as c
from outrider.protocol.frame import HEADER
from outrider.store.peers import Peers
from outrider.store.wazuh_db import open_wazuh_db
from outrider.transport.answers import Reply

HOUR = 3600
WAZUH_DB: dict[str, Any] = {"agents.store": "wazuh-db", "intervals.worker.sync_agent_info": 2}
LINK = "the link to the master"


def lines(caplog: pytest.LogCaptureFixture, least: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= least]


@pytest.mark.parametrize(
    ("code", "changes", "most"),
    [(3028, {}, 4), (3000, {}, 4), (3029, {}, 0), (None, {}, 4), (None, {"link.key": "x" * 32}, 4)],
    ids=["name taken", "refused without a reason", "master's name", "nobody there", "another key"],
)
def test_a_master_that_refuses_for_an_hour_is_a_few_lines_and_one_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int | None, changes: Mapping[str, Any], most: int
) -> None:
    async def story(cluster: Cluster) -> None:
        if code is not None or changes:
            await PlayedMaster(cluster, {c.HELLO: refuse(code)} if code else None).listen()
        worker = cluster.worker("worker1", changes)
        await asyncio.sleep(HOUR)
        told = lines(caplog, logging.INFO)
        assert len([line for line in told if LINK in line]) == most + 1
        assert len(told) <= most + 5
        assert len(lines(caplog, logging.ERROR)) == 1
        retry = worker.status.snapshot().retries[LINK]
        assert retry.failures >= HOUR // 300
        assert retry.next_try is not None
        assert retry.next_try > retry.since

    with caplog.at_level(logging.INFO, "outrider"):
        simulate(tmp_path, story, link="base")


def test_a_master_that_breaks_the_protocol_is_at_fault_whatever_waited_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        def lets_in_and_then_raves(_: bytes) -> Reply:
            stream: Any = master.side.channel.stream
            asyncio.get_running_loop().call_later(5, stream.write_unseen, raving)
            return Reply(b"added")

        raving = HEADER.pack(7, 2**32 - 1, b"echo -------")
        master = PlayedMaster(cluster, {c.HELLO: lets_in_and_then_raves})
        await master.listen()
        worker = cluster.worker("worker1")
        await asyncio.sleep(HOUR)
        retry = worker.status.snapshot().retries[LINK]
        assert retry.nature == "the peer's fault"
        assert "a frame declares 4294967295 bytes" in retry.reason
        assert HOUR / 120 <= retry.failures <= HOUR / 60 + 6, (
            "after the alarm there are one or two minutes between tries"
        )
        assert worker.status.snapshot().limits_hit == {"limits.frame_bytes": retry.failures}

    with caplog.at_level(logging.INFO, "outrider"):
        simulate(tmp_path, story, link="base")
    assert [record.levelname for record in caplog.records if LINK in record.getMessage()] == ["WARNING"] * 4 + ["ERROR"]


def test_a_master_that_comes_back_is_told_once_its_link_has_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        worker = cluster.worker("worker1")
        await asyncio.sleep(HOUR)
        await cluster.master()
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        await asyncio.sleep(61)
        assert worker.status.snapshot().retries == {}

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    assert [line for line in lines(caplog, logging.WARNING) if LINK in line][-1].startswith(f"{LINK} works again after")


def test_a_database_that_answers_again_has_work_go_on_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, behind = MemoryAgents(), MemoryAgents()
        behind.agents = {1: AgentInfo(id=1, name="agent-1", connection_status="active")}
        behind.changed = {1}
        path, address = cluster.home("worker1") / "queue/db/wdb", cluster.address("worker1")
        front = open_wazuh_db(cluster.settings("worker1", WAZUH_DB), cluster.fabric.host(address))
        await cluster.master(agents=theirs)
        worker = cluster.worker("worker1", WAZUH_DB, agents=front)
        await asyncio.sleep(HOUR)
        retry = worker.status.snapshot().retries["Agent-info sync"]
        assert retry.awaits == f"socket {path}"
        assert "is it running?" in retry.reason
        cluster.fabric.serve_local(address, path, WazuhDbDaemon(path, StoreAnswers(behind)).serving)
        assert await cluster.until(lambda: 1 in theirs.agents, within_s=5, step_s=0.05) <= 1
        await cluster.until(lambda: not worker.status.snapshot().retries, within_s=15)

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    told = lines(caplog, logging.WARNING)
    for name in ("Agent-info sync", "the checksum of groups"):
        its = [line for line in told if line.startswith(name)]
        assert len(its) == 6
        assert its[-1].startswith(f"{name} works again after")
    assert len(told) < 20, "what asks for all groups meanwhile does so ever more rarely"


def test_a_key_file_that_a_person_brings_is_tried_at_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        file = tmp_path / "worker.key"
        file.write_text("y" * 32)
        file.chmod(0o600)
        keys = {"link.key": None, "link.key_file": str(file), "intervals.worker.connection_retry": 600}
        worker = cluster.worker("worker1", keys)
        await asyncio.sleep(HOUR)
        assert worker.status.snapshot().retries[LINK].awaits == f"file {file}"
        file.write_text(KEY)
        assert await cluster.until(lambda: worker.status.snapshot().link.connected, within_s=5) <= 2

    simulate(tmp_path, story)


def test_a_peer_that_a_person_forgets_is_tried_at_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        await cluster.stop(master)
        await PlayedMaster(cluster).listen()
        await asyncio.sleep(400)
        assert worker.status.snapshot().retries[LINK].nature == "permanent"
        Peers(cluster.home("worker1")).forget("master-node")
        assert await cluster.until(lambda: worker.status.snapshot().link.connected, within_s=5) <= 2

    simulate(tmp_path, story)
