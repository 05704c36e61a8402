"""What changes is looked at when it changes, in both roles; who changes files without an end is not raced against."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.support.cluster import TREE, Cluster, simulate

from outrider.master import Master
from outrider.worker import Worker

HOUR = 3600
RARE_LOOKS = {"intervals.master.recalculate_integrity": HOUR}
RARE_ROUNDS = {"intervals.worker.sync_integrity": HOUR}


async def in_step(cluster: Cluster, master: dict[str, object] | None = None) -> tuple[Master, Worker]:
    """A master and a worker that have nothing to do for an hour."""
    cluster.write("master", TREE)
    cluster.write("worker1", TREE)
    nodes = await cluster.master(master), cluster.worker("worker1", RARE_ROUNDS)
    await cluster.until(lambda: last_round(nodes[1]) == "in step", within_s=30)
    await asyncio.sleep(60)
    return nodes


def last_round(worker: Worker) -> str | None:
    kind = worker.status.snapshot().kinds.get("integrity")
    return kind.last.detail if kind is not None and kind.last is not None else None


def test_a_change_on_the_master_is_looked_at_long_before_its_interval(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(RARE_LOOKS)
        await asyncio.sleep(60)
        before = cluster.scans(master)
        await asyncio.sleep(600)
        assert cluster.scans(master) == before
        cluster.write("master", {"tree/a.conf": b"changed\n"})
        cluster.changed(master, "tree")
        await asyncio.sleep(1)
        assert cluster.scans(master) == before + 1
        cluster.worker("worker1")
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)

    simulate(tmp_path, story)


def test_the_interval_stays_where_nothing_tells_of_changes(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        settings = {"intervals.master.recalculate_integrity": 8, "watch.enabled": False}
        master = await cluster.master(settings)
        before = cluster.scans(master)
        cluster.changed(master, "tree")
        await asyncio.sleep(80)
        assert cluster.scans(master) - before == 10

    simulate(tmp_path, story)


def test_changes_during_a_look_make_one_more_follow(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(RARE_LOOKS)
        await asyncio.sleep(60)
        before = cluster.scans(master)
        cluster.slow_threads(master, 2)
        cluster.changed(master, "tree")
        for _ in range(3):
            await asyncio.sleep(0.5)
            cluster.changed(master, "tree", lost=True)
        await asyncio.sleep(600)
        assert cluster.scans(master) == before + 2

    simulate(tmp_path, story)


def test_files_that_never_stay_as_they_are_cost_a_fifth_of_the_time(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master(RARE_LOOKS)
        await asyncio.sleep(60)
        before = cluster.scans(master)
        cluster.slow_threads(master, 1)
        for _ in range(1000):
            cluster.changed(master, "tree")
            await asyncio.sleep(0.2)
        assert cluster.scans(master) - before == pytest.approx(200 / 5, abs=1)

    simulate(tmp_path, story)


def test_a_local_edit_on_a_worker_is_repaired_long_before_its_interval(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await in_step(cluster)
        cluster.write("worker1", {"tree/a.conf": b"edited here\n", "tree/extra": b""})
        cluster.changed(worker, "tree")
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)

    simulate(tmp_path, story)


def test_a_burst_that_changed_nothing_asks_nothing_of_the_master(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await in_step(cluster)
        asked = len(cluster.trace.of("syn_i_w_m_p"))
        before = cluster.scans(worker)
        for _ in range(10):
            cluster.changed(worker, "tree")
            await asyncio.sleep(10)
        assert cluster.scans(worker) == before + 10
        assert len(cluster.trace.of("syn_i_w_m_p")) == asked

    simulate(tmp_path, story)


@pytest.mark.parametrize("link", ["base", "extended"])
def test_threat_43_a_program_that_changes_the_files_back_is_not_raced_against(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, link: str
) -> None:
    async def story(cluster: Cluster) -> None:
        caplog.set_level(logging.ERROR)
        _, worker = await in_step(cluster)
        repaired = 0
        end = asyncio.get_running_loop().time() + 1000
        while asyncio.get_running_loop().time() < end:
            if cluster.in_step("worker1"):
                repaired += 1
                cluster.write("worker1", {"tree/a.conf": b"mine\n"})
                cluster.changed(worker, "tree")
            await asyncio.sleep(0.25)
        # After 10, 20, 40 ... s: seven fill a thousand seconds, and the first few may come at once.
        assert 4 <= repaired <= 9
        assert ["wrote the same files again" in record.getMessage() for record in caplog.records] == [True]

    simulate(tmp_path, story, link=link)
