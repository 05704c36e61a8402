"""What a master and a worker tell of the cluster: who is in step, since when not, and what it cost; in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.cluster import MASTER, TREE, Cluster, simulate
from tests.support.loop import EPOCH

from outrider.master import Master
from outrider.overview import NodeView
from outrider.worker import Worker

FAST = {
    "intervals.worker.sync_integrity": 10,
    "intervals.worker.connection_retry": 10,
    "intervals.worker.keep_alive": 10,
}
LINKS = pytest.mark.parametrize("link", ["base", "extended"])


def now() -> float:
    return EPOCH + asyncio.get_running_loop().time()


def row(node: Master | Worker, name: str) -> NodeView:
    (found,) = [view for view in node.look().nodes if view.name == name]
    return found


async def pair(cluster: Cluster) -> tuple[Master, Worker]:
    """A master and a worker that both know that they are in step."""
    cluster.write("master", TREE)
    master, worker = await cluster.master(), cluster.worker("worker1", FAST)
    await cluster.until(lambda: worker.look().nodes[0].in_step and cluster.in_step("worker1"))
    await cluster.until(lambda: row(master, "worker1").in_step, within_s=60)
    return master, worker


@LINKS
def test_both_ends_know_that_a_worker_is_in_step(tmp_path: Path, link: str) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        itself, seen = row(worker, "worker1"), row(master, "worker1")
        assert (itself.in_step, itself.why_not, seen.in_step, seen.why_not) == (True, "", True, "")
        assert row(master, "master-node").in_step
        assert itself.standing.number == seen.standing.number == (1 if link == "extended" else 0)
        assert itself.standing.root == row(master, "master-node").standing.root
        assert itself.standing.files == len(TREE)
        assert seen.extended is (link == "extended")

    simulate(tmp_path, story, link=link)


@LINKS
def test_a_worker_that_lags_behind_is_not_in_step_since_the_files_changed(tmp_path: Path, link: str) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        cluster.slow_threads(worker, 3)
        cluster.write("master", {"tree/a.conf": b"new\n"})
        cluster.changed(master, "tree")
        await cluster.until(lambda: not row(master, "worker1").in_step, within_s=5)
        assert row(master, "worker1").standing.since == pytest.approx(now(), abs=5)
        assert row(master, "worker1").why_not
        await cluster.until(lambda: row(master, "worker1").in_step)
        assert cluster.in_step("worker1")

    simulate(tmp_path, story, link=link)


@LINKS
def test_a_worker_that_is_gone_is_missed(tmp_path: Path, link: str) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        await asyncio.sleep(100)
        await cluster.stop(worker)
        left = now()
        await asyncio.sleep(500)
        gone = row(master, "worker1")
        assert (gone.connected, gone.in_step) == (False, False)
        assert gone.since == pytest.approx(left, abs=2)
        assert gone.why_not
        back = cluster.worker("worker1", FAST)
        await cluster.until(lambda: row(master, "worker1").in_step)
        assert row(back, "worker1").in_step
        assert len(master.look().nodes) == 2

    simulate(tmp_path, story, link=link)


@LINKS
def test_a_worker_without_its_master_is_not_in_step_and_says_why(tmp_path: Path, link: str) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await pair(cluster)
        cluster.fabric.partition(MASTER, cluster.address("worker1"))
        await cluster.until(lambda: not row(worker, "worker1").connected, within_s=200)
        assert not row(worker, "worker1").in_step
        seen = await worker.cluster()
        assert [view.name for view in seen.nodes] == ["worker1"]
        assert seen.missing == "without a link to the master this node knows of no others"
        assert row(worker, "worker1").why_not
        cluster.fabric.heal()
        await cluster.until(lambda: row(worker, "worker1").in_step)

    simulate(tmp_path, story, link=link)


@LINKS
def test_a_worker_learns_of_the_others_from_its_master(tmp_path: Path, link: str) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await pair(cluster)
        other = cluster.worker("worker2", FAST)
        await cluster.until(lambda: other.look().nodes[0].in_step)
        await asyncio.sleep(30)
        seen = await worker.cluster()
        assert [view.name for view in seen.nodes] == ["worker1", "master-node", "worker2"]
        assert all(view.in_step for view in seen.nodes)
        assert seen.missing == ""

    simulate(tmp_path, story, link=link)


def test_a_master_that_tells_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        refusing = cluster.worker("worker2", {**FAST, "grants.programs": []})
        await cluster.until(lambda: refusing.look().nodes[0].in_step)
        assert "does not tell" in (await refusing.cluster()).missing
        await cluster.stop(master)
        await asyncio.sleep(1)
        assert (await worker.cluster()).missing

    simulate(tmp_path, story)


@LINKS
def test_what_a_sync_took_moved_and_saved_is_recorded_at_both_ends(tmp_path: Path, link: str) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        text = b"a line that comes again and again\n" * 20_000
        cluster.write("master", {"tree/large.conf": text})
        cluster.changed(master, "tree")
        await cluster.until(lambda: cluster.in_step("worker1"))
        await asyncio.sleep(30)
        for node in (master, worker):
            sync = node.look().syncs[-1]
            assert (sync.node, sync.ok) == ("worker1", True)
            assert 0 < sync.bytes < len(text) / 10
            if link == "extended" or node is worker:
                assert sync.bytes + sync.saved == len(text)
        rounds = worker.status.snapshot().kinds["integrity"]
        assert len(rounds.took) == rounds.succeeded + rounds.failed
        assert rounds.bytes >= worker.look().syncs[-1].bytes

    simulate(tmp_path, story, link=link)


def test_keep_alives_tell_the_round_trip_and_links_their_bytes(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        await asyncio.sleep(100)
        trips = worker.status.snapshot().round_trips
        assert len(trips) >= 9
        assert 0 < trips.seconds / len(trips) < 1
        before = {node: node.status.snapshot() for node in (master, worker)}
        for node in (master, worker):
            assert before[node].gauges["received"] > 0
            assert before[node].gauges["connected_peers"] == 1
            assert before[node].links == 1
        cluster.fabric.cut(cluster.address("worker1"))
        await asyncio.sleep(60)
        for node in (master, worker):
            after = node.status.snapshot()
            assert after.links == 2
            assert after.received >= before[node].gauges["received"]
            assert after.sent >= before[node].gauges["sent"]

    simulate(tmp_path, story)


def test_a_worker_that_does_not_take_a_step_is_named_at_its_master(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", {f"tree/{number}": b"x" for number in range(60)})
        master, worker = await cluster.master(), cluster.worker("worker1", FAST)
        await cluster.until(lambda: cluster.in_step("worker1"))
        for number in range(59):
            (cluster.home("master") / f"tree/{number}").unlink()
        cluster.changed(master, "tree")
        await cluster.until(lambda: bool(master.look().failures))
        failure = master.look().failures[0]
        assert failure.peer == "worker1"
        assert "outrider approve" in failure.reason
        assert "does not take generation 2" in row(master, "worker1").why_not
        assert not row(worker, "worker1").in_step
        assert "outrider approve" in worker.look().failures[0].reason

    simulate(tmp_path, story, link="extended")


def test_how_long_a_tree_has_stood_outlives_both_nodes(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await pair(cluster)
        taken = {
            node.settings.node.name: row(node, node.settings.node.name).standing.root_since for node in (master, worker)
        }
        await asyncio.sleep(1000)
        await cluster.stop(worker)
        await cluster.stop(master)
        await asyncio.sleep(1000)
        again = await pair(cluster)
        for node in again:
            name = node.settings.node.name
            assert row(node, name).standing.root_since == pytest.approx(taken[name], abs=5)
            assert row(node, name).standing.since == pytest.approx(now(), abs=60)

    simulate(tmp_path, story, link="extended")
