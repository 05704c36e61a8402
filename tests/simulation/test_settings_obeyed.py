"""Settings that only a node at work can obey: each is set to what it is not by itself, and seen to hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.channels import never
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.peers import PlayedMaster
from tests.support.ports import simulated_ports
from tests.support.requests import ask, body, slow_calls
from tests.support.wazuh_db import WazuhDbDaemon

from outrider._native import Tree
from outrider.master.integrity import WorkerIntegrity
from outrider.protocol import commands as c
from outrider.settings import Live
from outrider.settings.sections import GIB
from outrider.store.tree import FileTree
from outrider.store.wazuh_db import open_wazuh_db


def test_timeout_cluster_request_is_how_long_an_answer_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster, {c.HELLO: never}).listen()
        changes = {"intervals.communication.timeout_cluster_request": 3, "intervals.worker.connection_retry": 0.001}
        cluster.worker("worker1", changes)
        await cluster.until(lambda: len(master.times) == 2)
        assert master.times[1] - master.times[0] == pytest.approx(3, abs=0.1)

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    assert "no answer to hello: the peer did not answer in time" in caplog.text


@pytest.mark.parametrize("client", ["a program", "another"])
def test_timeout_dapi_request_ends_a_request_and_is_named_and_counted(tmp_path: Path, client: str) -> None:
    setting = "intervals.communication.timeout_dapi_request"

    async def story(cluster: Cluster) -> None:
        master = await cluster.master({setting: 2})
        started = asyncio.get_running_loop().time()
        answer = await master.routes.ask(client, ask("test.sleep", {"seconds": 60}, request_type="local_any"))
        assert asyncio.get_running_loop().time() - started == pytest.approx(2)
        assert setting in str(body(answer))
        assert master.status.snapshot().limits_hit == {setting: 1}
        own = ask("test.sleep", {"seconds": 60}, request_type="local_any", api_timeout=1)
        assert setting in str(body(await master.routes.ask(client, own))), "a wish above the setting changes nothing"

    with slow_calls():
        simulate(tmp_path, story)


@pytest.mark.parametrize("connections", [1, 3])
def test_wazuh_db_connections_is_how_many_are_open_at_one_time(tmp_path: Path, connections: int) -> None:
    async def one_at_a_time(_: bytes) -> Sequence[bytes]:
        await asyncio.sleep(1)
        return [b"ok []"]

    async def story(cluster: Cluster) -> None:
        daemon = WazuhDbDaemon(tmp_path / "wdb", one_at_a_time)
        settings = cluster.settings("master", {"agents.wazuh_db_connections": connections})
        cluster.fabric.serve_local(MASTER, settings.node.home / settings.agents.wazuh_db_socket, daemon.serving)
        store = open_wazuh_db(settings, simulated_ports(cluster.fabric, MASTER).network)
        await asyncio.gather(*(store._client.request(b"global x") for _ in range(6)))
        assert (daemon.most_at_work, len(daemon.connections)) == (connections, connections)
        await store.close()

    simulate(tmp_path, story)


def test_zip_limit_tolerance_is_the_share_by_which_a_container_shrinks(tmp_path: Path) -> None:
    times = {"max_zip_size": 1_000_000, "min_zip_size": 2000, "zip_limit_tolerance": 0.5}

    async def story(cluster: Cluster) -> None:
        master = await cluster.master({f"intervals.communication.{name}": value for name, value in times.items()})
        cluster.worker()
        await cluster.until(lambda: len(master.roster) == 1)
        (handler,) = master.roster.members()
        limit = handler.talks.of("integrity", WorkerIntegrity)._limit
        limit.sent(800_000, 200, cancelled=True)
        assert limit.bytes == 400_000
        limit.sent(400_000, 1, cancelled=False)
        assert limit.bytes == 800_000

    simulate(tmp_path, story)


def test_process_pool_size_is_the_number_of_threads_of_a_master_unless_tree_threads_says_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def tree(*arguments: Any, **given: Any) -> Tree:
        told.append(given["threads"])
        return Tree(*arguments, **given)

    monkeypatch.setattr("outrider.store.tree.Tree", tree)

    async def story(cluster: Cluster) -> None:
        threads = simulated_ports(cluster.fabric, MASTER).threads
        size = {"intervals.master.process_pool_size": 5}
        for changes in (
            {"node.type": "master", **size},
            {"node.type": "worker", **size},
            {"node.type": "master", **size, "tree.threads": 7},
        ):
            cluster.write("master", {"tree/a": b"1"})
            assert len((await FileTree(Live(cluster.settings("master", changes)), threads).scan()).manifest) == 1

    simulate(tmp_path, story)
    assert told == [5, 0, 7]


async def written(cluster: Cluster, number: int) -> None:
    """A generation more, of 100 KB that nothing makes smaller, at a worker in step."""
    cluster.write("master", {"tree/a": Random(number).randbytes(100_000)})
    await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, 9),
        ({"generations.keep": 3}, 3),
        ({"generations.keep_bytes": 350_000}, 2),
    ],
)
def test_generations_keep_and_keep_bytes_are_what_a_master_keeps(
    tmp_path: Path, changes: dict[str, Any], kept: int
) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master(changes)
        cluster.worker()
        for number in range(8):
            await written(cluster, number)
        await asyncio.sleep(10)
        lie = list((cluster.home("master") / ".outrider/generations").glob("*.generation"))
        assert len(lie) == kept, lie

    simulate(tmp_path, story)


@pytest.mark.parametrize(("most", "left"), [(GIB, 5), (150_000, 2)])
def test_bundle_bytes_is_what_a_master_keeps_of_its_packed_steps(tmp_path: Path, most: int, left: int) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master({"generations.bundle_bytes": most})
        cluster.worker()
        for number in range(5):
            await written(cluster, number)
        lie = [file.stat().st_size for file in (cluster.home("master") / ".outrider/bundles").iterdir()]
        assert len(lie) == left, lie

    simulate(tmp_path, story)
