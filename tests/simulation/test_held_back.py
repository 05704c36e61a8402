"""A step over a base link that takes too much of a worker's tree: held back at either end until a person wants it.

Each time the other end is as an old peer is: it sends, or takes, any number of deletions.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster, simulate
from tests.support.requests import ask, body

from outrider.master import Master
from outrider.worker import Worker

FILES = {f"tree/{number // 10}/{number}": b"%d\n" % number for number in range(60)}
LEFT = "tree/0/0"
OLD = {"generations.approve_deletions": True}
ROUNDS: dict[str, Any] = {"intervals.worker.sync_integrity": 10, "intervals.master.recalculate_integrity": 5}


async def in_step(cluster: Cluster, master: dict[str, Any], worker: dict[str, Any]) -> tuple[Master, Worker]:
    cluster.write("master", FILES)
    nodes = await cluster.master({**ROUNDS, **master}), cluster.worker("worker1", {**ROUNDS, **worker})
    await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
    return nodes


def empty(cluster: Cluster) -> None:
    for path in FILES.keys() - {LEFT}:
        (cluster.home("master") / path).unlink()


async def approve(node: Master | Worker) -> str:
    return str(body(await node.routes.ask("a program", ask("outrider.approve", request_type="local_any"))))


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_threat_31_a_worker_keeps_its_tree_though_an_old_master_deletes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await in_step(cluster, OLD, {})
        empty(cluster)
        await asyncio.sleep(3600)
        assert cluster.tree("worker1") == FILES
        await approve(worker)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=10)
        assert list(cluster.tree("worker1")) == [LEFT]
        assert "nothing is held back on this node" in await approve(worker)

    simulate(tmp_path, story, link="base")
    told = [line for line in alarms(caplog) if "the step would delete 59 of 60 files here" in line]
    assert len(told) == 2, "once at the worker, and once at the master, which the worker tells"
    assert all("outrider approve" in line for line in told)


def test_threat_31_what_was_approved_is_one_loss_of_one_tree(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await in_step(cluster, OLD, {})
        for path in FILES.keys() - {LEFT, "tree/0/1", "tree/0/2"}:
            (cluster.home("master") / path).unlink()
        await asyncio.sleep(400)
        (cluster.home("master") / "tree/0/1").unlink()
        await asyncio.sleep(20)  # by now the master would delete more than what a person sees waiting
        await approve(worker)
        await asyncio.sleep(1000)
        assert cluster.tree("worker1") == FILES
        cluster.write("master", FILES)
        cluster.write("master", {"tree/new": b"new"})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=400)

    simulate(tmp_path, story, link="base")


def test_threat_31_an_old_worker_keeps_its_tree_until_a_person_approves_at_the_master(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master, _ = await in_step(cluster, {}, OLD)
        empty(cluster)
        await asyncio.sleep(3600)
        assert cluster.tree("worker1") == FILES
        assert "outrider approve, at the master" in str(master.status.snapshot())
        await approve(master)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=400)
        assert list(cluster.tree("worker1")) == [LEFT]

    simulate(tmp_path, story, link="base")
    told = [line for line in alarms(caplog) if "the step would delete 59 of 60 files there" in line]
    assert len(told) == 2, "once at the master, and once at the worker, which the master tells"


@pytest.mark.parametrize(("master", "worker"), [(OLD, {}), ({}, OLD)], ids=["an old master", "an old worker"])
def test_at_a_first_meeting_a_worker_takes_another_tree_whatever_it_had(
    tmp_path: Path, master: dict[str, Any], worker: dict[str, Any]
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", {"tree/new": b"new"})
        cluster.write("worker1", FILES)
        await cluster.master({**ROUNDS, **master})
        cluster.worker("worker1", {**ROUNDS, **worker})
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
        assert list(cluster.tree("worker1")) == ["tree/new"]

    simulate(tmp_path, story, link="base")
