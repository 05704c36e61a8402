"""Groups that somebody changed leave at once, and reach a worker on the fast path after the files that they need."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.cluster import MASTER, TREE, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.requests import ask, body

from outrider.master import Master
from outrider.model import GroupAssignment, GroupMode, SyncStatus
from outrider.protocol import generations as g

HOUR = 3600
RARE: dict[str, Any] = {
    "intervals.worker.sync_integrity": HOUR,
    "intervals.master.recalculate_integrity": HOUR,
    "intervals.master.agent_group_start_delay": 1,
    "intervals.master.sync_agent_groups": HOUR,
}


class Groups:
    """A master with groups and workers that have none yet: an old one, and one on the fast path."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ours, self.old, self.fast = MemoryAgents(), MemoryAgents(), MemoryAgents()
        cluster.write("master", TREE)

    async def start(self, *, interval: float = HOUR, fast: dict[str, Any] | None = None) -> Master:
        master = await self.cluster.master({**RARE, "intervals.master.sync_agent_groups": interval}, agents=self.ours)
        self.cluster.worker("old", {**RARE, "link.require": "base"}, agents=self.old)
        self.cluster.worker("fast", {**RARE, **(fast or {})}, agents=self.fast)
        await self.cluster.until(lambda: self.cluster.in_step("old", "fast"), within_s=30)
        await asyncio.sleep(60)
        self.old.calls.clear()
        self.fast.calls.clear()
        return master

    async def assign(self, groups: dict[int, tuple[str, ...]]) -> None:
        await self.ours.set_groups([GroupAssignment(*one) for one in groups.items()], "override", "syncreq")

    def told(self, name: str) -> float:
        """When a worker was told of groups last."""
        told = [
            one for one in self.cluster.trace.of("syn_g_m_w") if one.receiver.startswith(self.cluster.address(name))
        ]
        return told[-1].time

    def done(self, number: int) -> float:
        """When a worker said that it stands at a generation."""
        said = [(one.time, g.decode_done(one.payload)) for one in self.cluster.trace.of("gen_done")]
        return next(time for time, done in said if done.number == number and not done.failure)


def test_a_change_of_groups_is_at_every_worker_long_before_the_interval(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        groups = Groups(cluster)
        await groups.start()
        for number in range(3):
            await groups.assign({1: ("web", f"round{number}")})
            waited = await cluster.until(lambda: groups.old.known == groups.fast.known == groups.ours.known, 5, 0.01)
            assert waited < 0.5
        assert cluster.trace.of("syn_w_g_c") == [], "no checksum has been wrong for long"

    simulate(tmp_path, story)


def test_a_burst_of_changes_is_a_few_messages_and_a_change_of_nothing_none(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        groups = Groups(cluster)
        await groups.start()
        before = len(cluster.trace.of("syn_g_m_w"))
        for number in range(1, 101):
            await groups.assign({number: ("web",)})
            await asyncio.sleep(0.004)
        await cluster.until(lambda: groups.old.known == groups.fast.known == groups.ours.known, 5)
        sent = len(cluster.trace.of("syn_g_m_w")) - before
        assert sent <= 2 * 4, "a burst lasts 0.4 s, and no more than 0.2 s of it are waited for"
        await groups.ours.set_groups([], "override", "syncreq")
        groups.ours.listeners[0]()
        await asyncio.sleep(60)
        assert len(cluster.trace.of("syn_g_m_w")) - before == sent

    simulate(tmp_path, story)


def test_threat_44_a_group_comes_after_its_files_though_they_take_long_and_no_watch_tells_of_them(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster) -> None:
        groups = Groups(cluster)
        await groups.start()
        cluster.fabric.bytes_per_second = 100_000
        cluster.write("master", {"tree/web/large": cluster.random_bytes(700_000)})
        await groups.assign({1: ("web",)})
        await cluster.until(lambda: groups.old.known == groups.fast.known == groups.ours.known, 60)
        assert groups.told("fast") >= groups.done(2), "first the files"
        assert groups.told("fast") > groups.told("old") + 5, "nobody else has waited"
        assert cluster.in_step("fast")

    simulate(tmp_path, story)


def test_threat_44_who_refuses_the_files_has_its_groups_after_the_interval(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check = "import pathlib, sys; sys.exit(pathlib.Path('tree/web/bad').exists())"

    async def story(cluster: Cluster) -> None:
        groups = Groups(cluster)
        await groups.start(interval=10, fast={"generations.check_command": [sys.executable, "-c", check]})
        cluster.write("master", {"tree/web/bad": b"bad\n"})
        await groups.assign({1: ("web",)})
        await cluster.until(lambda: groups.old.known == groups.ours.known, 2)
        assert groups.fast.known == {}
        waited = await cluster.until(lambda: groups.fast.known == groups.ours.known, 15)
        assert 7 < waited < 12
        assert cluster.trace.of("syn_w_g_err") == []
        cluster.write("master", {"tree/web/good": b"good\n"})
        (cluster.home("master") / "tree/web/bad").unlink()
        await groups.assign({1: ("db",)})
        await cluster.until(lambda: groups.fast.known == groups.ours.known, 5)
        assert groups.told("fast") >= groups.done(3)

    simulate(tmp_path, story)
    told = [one.getMessage() for one in caplog.records if "does not stand at generation" in one.getMessage()]
    assert told == ["the worker does not stand at generation 2; what goes out nevertheless: 1 assignment"]


class Checking(MemoryAgents):
    """A worker's store that knows no group whose file is not there: its name is that of a folder of the tree."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.early: list[str] = []
        self._home = home

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        named = {group for one in assignments for group in one.groups}
        self.early += [group for group in named if not (self._home / "tree" / group / "agent.conf").exists()]
        await super().set_groups(assignments, mode, status)


@pytest.mark.parametrize("seed", range(6))
def test_threat_44_whatever_the_link_does_no_group_is_known_before_its_files(tmp_path: Path, seed: int) -> None:
    """Loss, delay, cut links, a worker that starts anew: but for the deadline, which none of it reaches here.

    All files together stay below the megabyte with which an apply begins early: threads are none here.
    """

    async def story(cluster: Cluster) -> None:
        chance = Random(seed)
        ours, theirs = MemoryAgents(), Checking(cluster.home("fast"))
        cluster.write("master", TREE)
        settings = {**RARE, "intervals.worker.connection_retry": 1}
        often = {"intervals.master.sync_agent_groups": 200, "intervals.worker.agent_groups_mismatch_limit": 1}
        master = await cluster.master({**settings, **often}, agents=ours)
        worker = cluster.worker("fast", {**settings, **often}, agents=theirs)
        cluster.fabric.loss, cluster.fabric.latency, cluster.fabric.jitter = 0.1, 0.05, 0.1
        cluster.fabric.bytes_per_second = 40_000
        await asyncio.sleep(20)
        for number in range(12):
            group = f"group{number}"
            cluster.write("master", {f"tree/{group}/agent.conf": chance.randbytes(chance.choice((10, 60_000)))})
            if chance.random() < 0.5:
                cluster.changed(master, "tree")
                await asyncio.sleep(chance.random())
            await ours.set_groups([GroupAssignment(number + 1, (group,))], "override", "syncreq")
            await asyncio.sleep(chance.choice((0.01, 1, 10)))
            if chance.random() < 0.4:
                cluster.fabric.cut(MASTER)
            elif chance.random() < 0.2:
                await cluster.stop(worker)
                worker = cluster.worker("fast", {**settings, **often}, agents=theirs)
        await cluster.until(lambda: theirs.known == ours.known, within_s=1000)
        assert theirs.early == []

    simulate(tmp_path, story, seed=seed)


def test_news_of_nothing_keep_no_message_of_an_interval_back(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        groups = Groups(cluster)
        await groups.start(interval=10)
        before = len(cluster.trace.of("syn_g_m_w"))
        for _ in range(100):
            groups.ours.listeners[0]()
            await asyncio.sleep(1)
        assert len(cluster.trace.of("syn_g_m_w")) - before in (18, 20), "ten for each of two workers"

    simulate(tmp_path, story)


def test_a_program_that_changed_groups_where_no_store_tells_says_so_to_the_node(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        groups = Groups(cluster)
        master = await groups.start()
        groups.ours.known[1] = ("web",)
        groups.ours.changed_groups.add(1)
        request = ask("outrider.send_groups", {}, request_type="local_any")
        await asyncio.sleep(10)
        assert groups.old.known == {}
        assert body(await master.routes.ask("5", request)) is None
        await cluster.until(lambda: groups.old.known == groups.fast.known == groups.ours.known, 2)

    simulate(tmp_path, story)
