"""One seed, one story: the ground on which every other simulation stands."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

from tests.support.cluster import TREE, Cluster, simulate
from tests.support.trace import Said


async def _story(cluster: Cluster) -> None:
    cluster.fabric.jitter = 0.02
    cluster.fabric.loss = 0.05
    cluster.fabric.bytes_per_second = math.inf  # the times of files on a real disk are not always equally long
    cluster.write("master", TREE)
    master = await cluster.master()
    cluster.worker("worker1")
    cluster.worker("worker2")
    await asyncio.sleep(60)
    cluster.write("master", {"tree/a.conf": b"changed\n"})
    await asyncio.sleep(500)
    cluster.fabric.cut("10.0.0.1")
    await asyncio.sleep(400)
    await cluster.stop(master)
    await asyncio.sleep(30)
    await cluster.master()
    await asyncio.sleep(400)
    assert cluster.in_step("worker1", "worker2")


def _trace(folder: Path, seed: int) -> list[Said]:
    return simulate(folder, _story, seed).trace.comparable()


def test_a_master_and_two_workers_do_the_same_twice_from_one_seed_and_otherwise_from_another(tmp_path: Path) -> None:
    first, again, other = (_trace(tmp_path / name, seed) for name, seed in (("1", 7), ("2", 7), ("3", 8)))
    assert len(first) > 100
    assert first == again
    assert first != other
