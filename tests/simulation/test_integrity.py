"""Rounds of integrity from end to end: first sync, changes, deletions, and rounds that fail at either end."""

from __future__ import annotations

import asyncio
import logging
import os
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.channels import say
from tests.support.cluster import MASTER, TREE, Cluster, simulate
from tests.support.peers import PlayedMaster, played_worker, send_file
from tests.support.ports import Highest

from outrider.errors import SyncError
from outrider.master.integrity import WorkerIntegrity
from outrider.protocol import commands as c
from outrider.protocol.bodies import TaskFault
from outrider.protocol.faults import Fault
from outrider.store.tree import Applied, FileTree

ROUNDS = {"intervals.worker.sync_integrity": 10}


def gaps(cluster: Cluster, name: str) -> list[float]:
    return [round(later.time - earlier.time, 1) for earlier, later in pairwise(cluster.trace.of(name))]


def test_a_first_sync_a_change_and_a_deletion_reach_two_workers(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        cluster.write("worker2", {"tree/left/over": b"from before", "tree/a.conf": b"another"})
        await cluster.master()
        first, second = cluster.worker("worker1", ROUNDS), cluster.worker("worker2", ROUNDS)
        await cluster.until(lambda: cluster.in_step("worker1", "worker2"), within_s=30)
        assert cluster.tree("worker1") == TREE
        cluster.write("master", {"tree/a.conf": b"changed\n", "tree/new/one": b""})
        await cluster.until(lambda: cluster.in_step("worker1", "worker2"), within_s=30)
        for path in TREE:
            (cluster.home("master") / path).unlink()
        await cluster.until(lambda: cluster.in_step("worker1", "worker2"), within_s=30)
        assert list(cluster.tree("worker2")) == ["tree/new/one"]
        await asyncio.sleep(30)
        for worker in (first, second):
            last = worker.status.snapshot().kinds["integrity"].last
            assert last is not None
            assert last.detail == "in step"
        assert cluster.transfers("master") == cluster.transfers("worker1") == cluster.transfers("worker2") == []

    simulate(tmp_path, story, link="base")


def test_in_step_a_worker_asks_again_at_the_interval_and_no_file_travels(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        cluster.write("worker1", TREE)
        await cluster.master()
        cluster.worker("worker1")
        await asyncio.sleep(1000)
        assert gaps(cluster, "syn_i_w_m") == pytest.approx([300, 300, 300], abs=1)
        assert len(cluster.trace.of("syn_m_c_ok")) == 4
        assert cluster.trace.of("syn_m_c") == []

    simulate(tmp_path, story, link="base")


def test_without_permission_a_worker_asks_again_with_growing_pauses(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await PlayedMaster(cluster).listen()
        cluster.worker(changes={"intervals.worker.sync_integrity": 20}, random=Highest())
        await asyncio.sleep(100)
        assert gaps(cluster, "syn_i_w_m_p")[:7] == [1, 2, 4, 8, 16, 20, 20]
        assert cluster.trace.of("syn_i_w_m") == []

    simulate(tmp_path, story, link="base")


def test_a_worker_that_cannot_apply_says_so_and_tries_again_long_before_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, failures = FileTree.apply, [SyncError("no room"), SyncError("still no room")]

    async def applies_late(tree: FileTree, container: Path, *, most_deleted: int | None) -> Applied:
        if failures:
            raise failures.pop(0)
        return await apply(tree, container, most_deleted=most_deleted)

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master()
        worker = cluster.worker("worker1")
        assert await cluster.until(lambda: cluster.in_step("worker1"), within_s=100) < 60
        told = [TaskFault.decode(said.payload) for said in cluster.trace.of("syn_i_w_m_r")]
        assert told == [TaskFault(None, Fault(1000, "no room")), TaskFault(None, Fault(1000, "still no room"))]
        assert worker.status.snapshot().kinds["integrity"].failed == 2
        assert master.status.snapshot().counters["worker_sync_failures"] == 2
        assert cluster.transfers("worker1") == []

    monkeypatch.setattr(FileTree, "apply", applies_late)
    simulate(tmp_path, story, link="base")


def test_threat_43_files_that_something_else_changes_back_are_told_and_synced_ever_more_rarely(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        worker = cluster.worker("worker1")
        for _ in range(1200):
            cluster.write("worker1", {"tree/a.conf": b"mine\n"})
            await asyncio.sleep(1)
        assert "rounds wrote the same files again" in worker.status.snapshot().notes["integrity"]
        pauses = gaps(cluster, "syn_m_c")[1:]
        assert pauses == sorted(pauses)
        assert pauses[0] < 25
        assert pauses[-1] == pytest.approx(300, abs=10)

    with caplog.at_level(logging.ERROR, "outrider"):
        simulate(tmp_path, story, link="base")
    assert ["wrote the same files again" in record.getMessage() for record in caplog.records] == [True]


def test_a_file_that_no_container_can_carry_is_told_by_the_master_and_alarms_no_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", {**TREE, "tree/large": cluster.random_bytes(400_000)})
        small = {"intervals.communication.max_zip_size": 300_000, "intervals.communication.min_zip_size": 1024}
        await cluster.master(small)
        cluster.worker("worker1")
        await asyncio.sleep(1200)
        assert cluster.tree("worker1") == TREE
        pauses = gaps(cluster, "syn_m_c")[1:]
        assert pauses == sorted(pauses)

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story, link="base")
    told = {record.getMessage() for record in caplog.records}
    assert told == {"left out tree/large: it is larger than the limit of 300000 bytes"}


def test_threat_36_a_file_that_the_master_cannot_look_at_is_not_deleted(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        cluster.worker("worker1", ROUNDS)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        tree = cluster.home("master") / "tree"
        os.link(tree / "a.conf", cluster.home("master") / "backup")
        (tree / "sub").rename(tree / "elsewhere")
        (tree / "sub").symlink_to("elsewhere")
        await asyncio.sleep(60)
        assert TREE.items() <= cluster.tree("worker1").items()
        (cluster.home("master") / "backup").unlink()
        (tree / "sub").unlink()
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)

    simulate(tmp_path, story, link="base")


def test_a_worker_that_cannot_remove_what_it_replaced_is_in_step_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_: FileTree) -> int:
        raise SyncError("the disk is read-only")

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        cluster.worker("worker1")
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=30)
        await asyncio.sleep(5)

    monkeypatch.setattr(FileTree, "sweep", fails)
    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story, link="base")
    told = [record.getMessage() for record in caplog.records]
    assert told == ["what was replaced cannot be removed yet: the disk is read-only"]


def test_a_master_that_cannot_pack_says_so_and_the_round_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, failures = FileTree.pack, [SyncError("a file is gone")]

    async def packs_late(tree: FileTree, *args: object) -> object:
        if failures:
            raise failures.pop(0)
        return await pack(tree, *args)  # type: ignore[arg-type]

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        cluster.worker("worker1")
        assert await cluster.until(lambda: cluster.in_step("worker1"), within_s=200) < 60
        assert len(cluster.trace.of("syn_m_c_r")) == 1

    monkeypatch.setattr(FileTree, "pack", packs_late)
    simulate(tmp_path, story, link="base")


def test_files_that_do_not_come_within_120_s_are_cancelled_by_the_worker_with_3039(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster, {c.CANCEL_TASK: say(b"")}).listen()
        cluster.worker()
        await cluster.until(lambda: bool(master.sides))
        await asyncio.sleep(1)
        started = asyncio.get_running_loop().time()
        task = await master.side.channel.request(c.INTEGRITY_SYNC, b"", 20)
        await asyncio.sleep(150)
        (cancelled,) = cluster.trace.of("cancel_task")
        assert cancelled.time - started == pytest.approx(120, abs=1)
        assert TaskFault.decode(cancelled.payload) == TaskFault(task, Fault(3039))

    simulate(tmp_path, story, link="base")


def test_a_master_that_gives_a_send_up_is_answered_with_an_error_of_the_round(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster, {c.INTEGRITY_CHECK_ERROR: say(b"")}).listen()
        cluster.worker()
        await cluster.until(lambda: bool(master.sides))
        await asyncio.sleep(1)
        task = await master.side.channel.request(c.INTEGRITY_SYNC, b"", 20)
        fault = TaskFault(task, Fault(3040, "disk")).encode()
        assert await master.side.channel.request(c.INTEGRITY_SYNC_ERROR, fault, 20) == b"Error received"
        await asyncio.sleep(1)
        (told,) = cluster.trace.of("syn_i_w_m_r")
        assert TaskFault.decode(told.payload).fault.code == 1000

    simulate(tmp_path, story, link="base")


def test_metadata_that_does_not_come_within_120_s_is_cancelled_by_the_master_with_3039(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        lazy = await played_worker(cluster, serves={c.CANCEL_TASK: say(b"")})
        started = asyncio.get_running_loop().time()
        assert await lazy.channel.request(c.INTEGRITY_PERMISSION, b"", 20) == b"True"
        task = await lazy.channel.request(c.INTEGRITY_CHECK, b"", 20)
        await asyncio.sleep(110)
        assert await lazy.channel.request(c.INTEGRITY_PERMISSION, b"", 20) == b"False"
        await asyncio.sleep(9)
        await lazy.channel.request(c.KEEP_ALIVE, b"", 20)
        await asyncio.sleep(10)
        (cancelled,) = cluster.trace.of("cancel_task")
        assert cancelled.time - started == pytest.approx(120, abs=1)
        assert TaskFault.decode(cancelled.payload) == TaskFault(task, Fault(3039))
        assert await lazy.channel.request(c.INTEGRITY_PERMISSION, b"", 20) == b"True"

    simulate(tmp_path, story, link="base")


def test_a_worker_s_turn_comes_once_for_each_scan_of_the_master(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master({"intervals.master.recalculate_integrity": 8})
        eager = await played_worker(cluster)
        answers = []
        for _ in range(24):
            answers.append(await eager.channel.request(c.INTEGRITY_PERMISSION, b"", 20))
            await asyncio.sleep(1)
        assert answers[0] == b"True"
        assert answers.count(b"True") in (3, 4)
        turns = [number for number, answer in enumerate(answers) if answer == b"True"]
        assert all(later - earlier == 8 for earlier, later in pairwise(turns[1:]))

    simulate(tmp_path, story, link="base")


def test_a_lock_that_is_held_too_long_is_released_at_the_next_question(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        settings = {
            "intervals.communication.timeout_receiving_file": 5000,
            "intervals.master.max_locked_integrity_time": 1000,
        }
        await cluster.master(settings)
        stuck = await played_worker(cluster)
        await stuck.channel.request(c.INTEGRITY_CHECK, b"", 20)
        answers = []
        for _ in range(12):
            await asyncio.sleep(99)
            await stuck.channel.request(c.KEEP_ALIVE, b"", 20)
            answers.append(await stuck.channel.request(c.INTEGRITY_PERMISSION, b"", 20))
        assert answers == [b"False"] * 10 + [b"True"] * 2

    simulate(tmp_path, story, link="base")


def test_metadata_that_is_none_is_refused_and_the_next_round_may_come(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        odd = await played_worker(cluster, serves={c.INTEGRITY_SYNC_ERROR: say(b"")})
        task = await odd.channel.request(c.INTEGRITY_CHECK, b"", 20)
        path = await send_file(odd, "worker1", b"no container at all")
        await odd.channel.request(c.INTEGRITY_CHECK_END, task + b" " + str(path).encode(), 20)
        await cluster.until(lambda: bool(cluster.trace.of("syn_m_c_r")), within_s=5)
        await asyncio.sleep(10)
        assert await odd.channel.request(c.INTEGRITY_PERMISSION, b"", 20) == b"True"
        assert cluster.transfers("master") == []

    simulate(tmp_path, story, link="base")


def test_the_container_s_limit_shrinks_when_the_worker_runs_out_of_time_and_grows_again(tmp_path: Path) -> None:
    sizes = {
        "intervals.communication.max_zip_size": 4 * 1024 * 1024,
        "intervals.communication.min_zip_size": 100 * 1024,
    }

    async def story(cluster: Cluster) -> None:
        cluster.write("master", {f"tree/{n}": cluster.random_bytes(500_000) for n in range(4)})
        master = await cluster.master(sizes)
        cluster.fabric.bytes_per_second = 200_000
        cluster.worker("worker1", {**ROUNDS, "intervals.communication.timeout_receiving_file": 5})
        limit = 4 * 1024 * 1024

        def shrunk() -> bool:
            handler = master.roster.get("worker1")
            return handler is not None and handler.talks.of("integrity", WorkerIntegrity)._limit.bytes < limit

        await cluster.until(shrunk, within_s=60)
        assert cluster.trace.of("cancel_task")[0].receiver.startswith(MASTER)
        cluster.fabric.bytes_per_second = 50e6
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=200)
        handler = master.roster.get("worker1")
        assert handler is not None
        limit_of = handler.talks.of("integrity", WorkerIntegrity)._limit
        small = limit_of.bytes
        for n in range(3):
            cluster.write("master", {"tree/0": b"%d" % n})
            await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
            await asyncio.sleep(1)
        assert limit_of.bytes > small

    simulate(tmp_path, story, link="base")
