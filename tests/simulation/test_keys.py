"""What the settings say of keys and of the age of tokens holds on a link of two nodes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.support.cluster import KEY, TREE, Cluster, simulate
from tests.support.loop import EPOCH

NEW = "a_newer_key_" + "x" * 20
AGE = {"link.token_age_s": 60}


@pytest.mark.parametrize("require", ["base", "any"])
def test_a_key_is_replaced_one_node_after_another_and_the_old_one_opens_nothing_then(
    tmp_path: Path, require: str
) -> None:
    told = {"link.require": require}
    both = {"link.key": KEY, "link.previous_keys": [NEW]}
    changed = {"link.key": NEW, "link.previous_keys": [KEY]}

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(told | both)
        worker = cluster.worker("worker1", told | changed)
        await cluster.until(lambda: cluster.in_step("worker1"))
        await cluster.stop(master)
        master = await cluster.master(told | {"link.key": NEW})
        cluster.write("master", {"tree/a.conf": b"after the old key\n"})
        await cluster.until(lambda: cluster.in_step("worker1"))
        late = cluster.worker("late", told)
        await asyncio.sleep(60)
        assert [member.info.name for member in master.roster.members()] == ["worker1"]
        assert worker.status.snapshot().link.connected
        assert not late.status.snapshot().link.connected

    simulate(tmp_path, story)


@pytest.mark.parametrize("ahead_s", [-3600, 3600, -EPOCH, 31 * 365 * 86_400])
def test_threat_11_a_clock_that_is_wrong_is_named_and_locks_nobody_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ahead_s: float
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(AGE)
        wrong = cluster.worker("worker1", AGE, clock_ahead_s=ahead_s)
        await asyncio.sleep(60)
        assert len(master.roster) == 0
        assert master.status.snapshot().limits_hit["link.token_age_s"] > 1
        assert cluster.tree("worker1") == {}
        await cluster.stop(wrong)
        cluster.worker("worker1", AGE)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story)
    told = [record.getMessage() for record in caplog.records if "compare the clocks" in record.getMessage()]
    assert len(told) == 1, "once a minute"
    assert "10.0.1.1 is refused" in told[0]
    assert "Or, with link.token_age_s, the clock?" in caplog.text


def test_by_itself_a_token_may_be_of_any_age(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        cluster.worker("worker1", clock_ahead_s=-40 * 365 * 86400)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)

    simulate(tmp_path, story)
