"""Signs of life, and networks that break in every way but the honest one (threats 41)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest
from tests.support.channels import Serve, never, refuse
from tests.support.cluster import MASTER, TREE, Cluster, simulate
from tests.support.peers import PlayedMaster, played_worker

from outrider.protocol import commands as c
from outrider.transport.answers import Reply

FAST = {"intervals.worker.sync_integrity": 10, "intervals.worker.connection_retry": 10}


@pytest.mark.parametrize(("attempts", "serve", "each_s"), [(3, never, 80), (2, never, 80), (3, refuse(1000), 60)])
def test_keep_alives_that_fail_in_a_row_close_the_link(
    tmp_path: Path, attempts: int, serve: Serve, each_s: float
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster, {c.KEEP_ALIVE: serve}).listen()
        cluster.worker(changes={"intervals.worker.max_failed_keepalive_attempts": attempts})
        await cluster.until(lambda: bool(master.sides and master.sides[0].lost_reasons))
        assert asyncio.get_running_loop().time() - master.times[0] == pytest.approx(attempts * each_s, abs=1)
        await cluster.until(lambda: len(master.sides) == 2, within_s=15)

    simulate(tmp_path, story)


def test_a_keep_alive_that_is_answered_starts_the_count_again(tmp_path: Path) -> None:
    asked = 0

    def every_third(payload: bytes) -> Reply | Awaitable[Reply]:
        nonlocal asked
        asked += 1
        return never(payload) if asked % 3 else Reply(payload, c.OK_KEEP_ALIVE)

    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster, {c.KEEP_ALIVE: every_third}).listen()
        cluster.worker()
        await asyncio.sleep(1000)
        assert asked > 9
        assert len(master.sides) == 1

    simulate(tmp_path, story)


def test_a_worker_that_sends_no_keep_alive_is_closed_although_it_asks_other_things(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        mute = await played_worker(cluster, "mute")
        joined = asyncio.get_running_loop().time()
        cluster.worker("worker1")
        while not mute.lost_reasons:
            if mute.channel.is_open:
                await mute.channel.request(c.ECHO, b"busy", 20)
            await asyncio.sleep(1)
        assert 120 <= asyncio.get_running_loop().time() - joined <= 181
        assert [member.info.name for member in master.roster.members()] == ["worker1"]
        await asyncio.sleep(600)
        assert len(master.roster) == 1

    simulate(tmp_path, story)


def test_threat_41_a_partition_heals_and_the_tree_converges(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        cluster.worker("worker1", FAST)
        await cluster.until(lambda: cluster.in_step("worker1"))
        for gone_s in (10, 100, 400):
            cluster.fabric.partition(MASTER, cluster.address("worker1"))
            cluster.write("master", {"tree/a.conf": b"while apart %d\n" % gone_s})
            await asyncio.sleep(gone_s)
            assert not cluster.in_step("worker1")
            cluster.fabric.heal()
            await cluster.until(lambda: cluster.in_step("worker1"), within_s=120)

    simulate(tmp_path, story)


def test_threat_41_both_ends_of_a_half_open_link_notice_and_the_tree_converges(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master()
        worker = cluster.worker("worker1", FAST)
        await cluster.until(lambda: cluster.in_step("worker1"))
        cluster.fabric.freeze(MASTER)
        cluster.write("master", {"tree/a.conf": b"news\n"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=320)
        assert worker.status.snapshot().link.reconnects == 1
        assert len(master.roster) == 1

    simulate(tmp_path, story)


def test_threat_41_half_of_all_segments_lost_and_a_second_of_delay_only_slow_things_down(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.fabric.latency, cluster.fabric.jitter, cluster.fabric.loss = 1.0, 1.0, 0.5
        cluster.write("master", TREE)
        await cluster.master()
        cluster.worker("worker1", FAST)
        await cluster.until(lambda: cluster.in_step("worker1"))
        cluster.write("master", {"tree/new": b"new\n"})
        await cluster.until(lambda: cluster.in_step("worker1"))

    simulate(tmp_path, story)


def test_threat_46_a_disk_that_takes_twenty_seconds_holds_up_no_sign_of_life(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master()
        worker = cluster.worker("worker1", {**FAST, "intervals.worker.keep_alive": 2})
        await cluster.until(lambda: cluster.in_step("worker1"))
        cluster.slow_threads(master, 19)
        cluster.write("master", {"tree/a.conf": b"changed\n"})
        await cluster.until(lambda: cluster.in_step("worker1"))
        answers = {(said.receiver, said.counter): said.time for said in cluster.trace.of("ok-m")}
        waits = [answers[said.sender, said.counter] - said.time for said in cluster.trace.of("echo-c")[:-1]]
        assert len(waits) > 20
        assert max(waits) < 0.1
        assert worker.status.snapshot().link.reconnects == 0

    simulate(tmp_path, story)


@pytest.mark.parametrize(("link", "size"), [("base", 6 * 1024 * 1024), ("extended", 900_000)])
def test_threat_41_bulk_over_a_slow_link_does_not_starve_the_keep_alive(tmp_path: Path, link: str, size: int) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.fabric.bytes_per_second = size // 50
        cluster.write("master", {"tree/big": cluster.random_bytes(size)})
        await cluster.master()
        worker = cluster.worker("worker1", {**FAST, "intervals.worker.keep_alive": 10})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=200)
        answers = {(said.receiver, said.counter): said.time for said in cluster.trace.of("ok-m")}
        waits = [answers[said.sender, said.counter] - said.time for said in cluster.trace.of("echo-c")]
        assert len(waits) >= 4
        assert max(waits) < 8
        assert worker.status.snapshot().link.reconnects == 0

    simulate(tmp_path, story, link=link)
