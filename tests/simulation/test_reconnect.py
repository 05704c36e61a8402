"""Coming back: pauses, refusals of every kind, and what a master sees when all come back at once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.channels import never, refuse
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.peers import PlayedMaster, played_worker
from tests.support.ports import Highest

from outrider.errors import ConnectionLostError
from outrider.protocol import commands as c

CAP = {"intervals.worker.connection_retry": 10}


def pauses(times: list[float]) -> list[float]:
    return [round(later - earlier, 1) for earlier, later in pairwise(times)]


def dialled(cluster: Cluster) -> list[float]:
    return [time for time, _ in cluster.fabric.dialled]


def test_pauses_before_a_reconnect_double_up_to_connection_retry(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.worker(changes=CAP, random=Highest())
        await asyncio.sleep(60)
        assert pauses(dialled(cluster))[:7] == [0.5, 1, 2, 4, 8, 10, 10]

    simulate(tmp_path, story)


def test_pauses_are_drawn_between_nothing_and_the_longest(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.worker(changes=CAP)
        await asyncio.sleep(600)
        late = pauses(dialled(cluster))[5:]
        assert max(late) <= 10.1
        assert min(late) < 2
        assert 3.5 < sum(late) / len(late) < 6.5

    simulate(tmp_path, story)


@pytest.mark.parametrize(("stable_s", "next_pause"), [(30, 8), (61, 0.5)])
def test_a_connection_that_held_for_a_minute_makes_the_next_reconnect_quick(
    tmp_path: Path, stable_s: float, next_pause: float
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.worker(changes=CAP, random=Highest())
        await asyncio.sleep(5)
        assert pauses(dialled(cluster)) == [0.5, 1, 2]
        master = await PlayedMaster(cluster).listen()
        await cluster.until(lambda: bool(master.sides))
        await asyncio.sleep(stable_s)
        lost_at = asyncio.get_running_loop().time()
        cluster.fabric.cut(MASTER)
        await cluster.until(lambda: len(master.sides) == 2)
        assert master.times[1] - lost_at == pytest.approx(next_pause, abs=0.2)

    simulate(tmp_path, story)


def test_a_taken_name_is_tried_again_with_the_usual_pauses(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await PlayedMaster(cluster, {c.HELLO: refuse(3028)}).listen()
        worker = cluster.worker(changes=CAP, random=Highest())
        await asyncio.sleep(60)
        assert pauses(dialled(cluster))[:7] == [0.5, 1, 2, 4, 8, 10, 10]
        assert "3028" in worker.status.snapshot().link.reason

    simulate(tmp_path, story)


REFUSALS = [
    (3029, {"node.name": "master-node"}, "node.name"),
    (3030, {"node.cluster": "other"}, "node.cluster"),
    (3031, {"node.wire_version": "4.9.1"}, "node.wire_version"),
]


@pytest.mark.parametrize(("code", "wrong", "remedy"), REFUSALS)
def test_a_refusal_that_a_person_must_mend_is_told_once_and_tried_every_five_minutes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, wrong: dict[str, str], remedy: str
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        worker = cluster.worker("worker1", wrong)
        await asyncio.sleep(1000)
        assert pauses(dialled(cluster)) == [300, 300, 300]
        assert str(code) in worker.status.snapshot().link.reason
        assert len(master.roster) == 0

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    told = [record for record in caplog.records if remedy in record.getMessage()]
    assert [record.levelno for record in told] == [logging.ERROR]


def test_another_key_is_reported_as_a_question_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        cluster.worker(changes={"link.key": "another_key_" + "x" * 20})
        await asyncio.sleep(60)
        assert len(dialled(cluster)) > 5
        assert len(master.roster) == 0

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    assert "does the cluster key differ from the master's?" in caplog.text


def test_a_live_worker_keeps_its_name_and_a_twin_gets_it_when_it_leaves(tmp_path: Path) -> None:
    """Over base links; elsewhere a twin shows another certificate, and gets it never."""

    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        first = cluster.worker("worker1")
        await cluster.until(lambda: len(master.roster) == 1)
        twin = cluster.worker("twin", {"node.name": "worker1", **CAP})
        await asyncio.sleep(60)
        assert first.status.snapshot().link.connected
        assert not twin.status.snapshot().link.connected
        await cluster.stop(first)
        await cluster.until(lambda: twin.status.snapshot().link.connected, within_s=15)

    simulate(tmp_path, story, link="base")


def test_threat_17_a_half_open_connection_loses_its_name_to_its_worker_s_new_one(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        cluster.worker("worker1")
        await cluster.until(lambda: len(master.roster) == 1)
        old = master.roster.get("worker1")
        cluster.fabric.freeze(cluster.address("worker1"))
        reborn = cluster.worker("reborn", {"node.name": "worker1"})
        waited = await cluster.until(lambda: reborn.status.snapshot().link.connected)
        assert waited < 5
        assert master.roster.get("worker1") is not old

    simulate(tmp_path, story, link="base")


def test_threat_17_a_half_open_connection_full_of_unsent_files_loses_its_name_too(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", {"tree/big": cluster.random_bytes(8 * 1024 * 1024)})
        await cluster.master()
        cluster.fabric.bytes_per_second = 1e6
        cluster.worker("worker1")
        await cluster.until(
            lambda: "file_upd" in [said.name for said in cluster.trace.said if said.sender.startswith(MASTER)]
        )
        cluster.fabric.freeze(cluster.address("worker1"))
        reborn = cluster.worker("reborn", {"node.name": "worker1"})
        await cluster.until(lambda: reborn.status.snapshot().link.connected, within_s=30)

    simulate(tmp_path, story, link="base")


def test_threat_17_nobody_gets_a_name_over_a_connection_that_was_lost_while_the_old_one_was_asked(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        await played_worker(cluster, "worker1", {c.ECHO: never})
        again = asyncio.create_task(played_worker(cluster, "worker1"))
        await asyncio.sleep(1)
        assert len(master.roster) == 1
        cluster.fabric.cut(cluster.address("worker1"))  # both at the same moment
        with pytest.raises(ConnectionLostError):
            await again
        await asyncio.sleep(1)
        assert len(master.roster) == 0
        cluster.worker("worker1")
        assert await cluster.until(lambda: len(master.roster) == 1) < 5

    simulate(tmp_path, story, link="base")


def test_stopping_while_dialling_or_waiting_for_hello_s_answer_takes_no_time(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        loop = asyncio.get_running_loop()
        dialling = cluster.worker("worker1")
        cluster.fabric.partition(MASTER, cluster.address("worker1"))
        await asyncio.sleep(1)
        started = loop.time()
        await cluster.stop(dialling)
        assert loop.time() - started < 1
        await PlayedMaster(cluster).listen()
        cluster.fabric.latency = 5
        greeting = cluster.worker("worker2")
        await asyncio.sleep(11)
        started = loop.time()
        await cluster.stop(greeting)
        assert loop.time() - started < 2

    simulate(tmp_path, story)


def test_threat_42_two_hundred_workers_come_back_spread_over_time(tmp_path: Path) -> None:
    many = 200

    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        for number in range(many):
            cluster.worker(f"worker{number}", CAP)
        await cluster.until(lambda: len(master.roster) == many)
        await cluster.stop(master)
        await asyncio.sleep(20)
        back_at = asyncio.get_running_loop().time()
        master = await cluster.master()
        await cluster.until(lambda: len(master.roster) == many, within_s=30)
        came = Counter(int((time - back_at) * 10) for time, _ in cluster.fabric.dialled if time > back_at)
        assert max(came.values()) < many / 10

    simulate(tmp_path, story)
