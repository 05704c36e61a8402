"""A transfer that ends before its end: nothing of it stays on disk, no lock, and the next round goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.channels import say
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.peers import played_worker, send_file

from outrider.protocol import commands as c
from outrider.protocol.bodies import TaskFault

SLOW = 1e6
QUICK = {"intervals.worker.sync_integrity": 10, "intervals.worker.connection_retry": 2}


async def in_the_middle(cluster: Cluster) -> None:
    """Bring a master and a worker to where files of some seconds are on their way down."""
    cluster.write("master", {"tree/big": cluster.random_bytes(4 * 1024 * 1024)})
    cluster.fabric.bytes_per_second = SLOW
    await cluster.until(lambda: sum(said.sender.startswith(MASTER) for said in cluster.trace.of("file_upd")) > 4)
    assert cluster.transfers("worker1")


def nothing_left(cluster: Cluster) -> Callable[[], bool]:
    return lambda: not cluster.transfers("master") + cluster.transfers("worker1")


def test_a_connection_cut_in_the_middle_of_files_leaves_none_and_the_next_one_carries_them(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        cluster.worker("worker1", QUICK)
        await in_the_middle(cluster)
        cluster.fabric.cut(MASTER)
        await cluster.until(nothing_left(cluster), within_s=5, step_s=0.001)
        assert not master.roster.members()
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
        await cluster.until(nothing_left(cluster), within_s=5)

    simulate(tmp_path, story, link="base")


def test_a_worker_that_stops_in_the_middle_of_files_cancels_them_and_leaves_none(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        loop = asyncio.get_running_loop()
        await cluster.master()
        worker = cluster.worker("worker1", QUICK)
        await in_the_middle(cluster)
        started = loop.time()
        await cluster.stop(worker)
        assert loop.time() - started < 3
        assert [said.receiver.partition(":")[0] for said in cluster.trace.of("cancel_task")] == [MASTER]
        await cluster.until(nothing_left(cluster), within_s=10)

    simulate(tmp_path, story, link="base")


def test_a_master_that_stops_in_the_middle_of_files_says_so_and_both_leave_none(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        loop = asyncio.get_running_loop()
        master = await cluster.master()
        cluster.worker("worker1", QUICK)
        await in_the_middle(cluster)
        started = loop.time()
        await cluster.stop(master)
        assert loop.time() - started < 8
        assert len(cluster.trace.of("syn_m_c_r")) == 1
        await cluster.until(nothing_left(cluster), within_s=10)
        await cluster.master()
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)

    simulate(tmp_path, story, link="base")


def test_a_worker_that_stops_while_it_sends_its_metadata_says_so(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        cluster.fabric.latency = 1
        worker = cluster.worker("worker1", QUICK)
        await cluster.until(lambda: bool(cluster.trace.of("new_file")), step_s=0.01)
        await cluster.stop(worker)
        (told,) = cluster.trace.of("syn_i_w_m_r")
        (opened,) = [said for said in cluster.trace.said if said.name == "ok" and len(said.payload) == 36]
        assert TaskFault.decode(told.payload).task == opened.payload
        await cluster.until(nothing_left(cluster), within_s=10)

    simulate(tmp_path, story, link="base")


def test_a_master_that_stops_while_it_waits_for_metadata_cancels_it(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        worker = await played_worker(cluster, serves={c.CANCEL_TASK: say(b"")})
        task = await worker.channel.request(c.INTEGRITY_CHECK, b"", 20)
        await cluster.stop(master)
        (told,) = cluster.trace.of("cancel_task")
        assert TaskFault.decode(told.payload).task == task
        assert await worker.channel.closed() == "the peer closed the connection"

    simulate(tmp_path, story, link="base")


@pytest.mark.parametrize("whole", [True, False])
def test_files_that_a_lost_worker_had_sent_are_removed_whole_or_not(tmp_path: Path, *, whole: bool) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        worker = await played_worker(cluster)
        await send_file(worker, "worker1", b"x" * 1000, whole=whole)
        assert cluster.transfers("master")
        cluster.fabric.cut(MASTER)
        await cluster.until(nothing_left(cluster), within_s=5)

    simulate(tmp_path, story, link="base")


def test_a_worker_whose_applying_is_cut_short_by_a_stop_keeps_its_home_until_it_is_done(tmp_path: Path) -> None:
    """A thread cannot be stopped: until it has ended no second node may take the home."""

    async def story(cluster: Cluster) -> None:
        loop = asyncio.get_running_loop()
        cluster.write("master", {"tree/a": b"a"})
        await cluster.master()
        worker = cluster.worker("worker1", QUICK)
        await cluster.until(lambda: bool(cluster.trace.of("syn_m_c_e")), step_s=0.0001)
        cluster.slow_threads(worker, 7)
        await asyncio.sleep(0.01)
        started = loop.time()
        await cluster.stop(worker)
        assert loop.time() - started >= 6.9
        assert cluster.in_step("worker1")

    simulate(tmp_path, story, link="base")
