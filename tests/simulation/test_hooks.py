"""What the hosts of a master and of a worker hear of what happens between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import TREE, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.requests import ask
from tests.support.sqlite_store import full_agent

from outrider.errors import StoreError
from outrider.hooks import AgentInfoEvent, GenerationEvent, GroupsEvent, Hooks, RequestEvent
from outrider.model import GroupAssignment

SOON = {
    "intervals.worker.sync_agent_info": 5,
    "intervals.master.agent_group_start_delay": 1,
    "intervals.master.sync_agent_groups": 5,
}


class Host:
    """Keeps what its hooks hear."""

    def __init__(self) -> None:
        self.generations: list[GenerationEvent] = []
        self.agents: list[AgentInfoEvent] = []
        self.groups: list[GroupsEvent] = []
        self.requests: list[RequestEvent] = []

    @property
    def hooks(self) -> Hooks:
        def into(heard: list[Any]) -> Callable[[Any], object]:
            async def hear(event: Any) -> None:
                heard.append(event)

            return hear

        return Hooks(
            on_generation=into(self.generations),
            on_agent_info=into(self.agents),
            on_groups=into(self.groups),
            on_request=into(self.requests),
        )


def paths(event: GenerationEvent) -> tuple[set[str], ...]:
    assert event.plan is not None
    plan = event.plan
    return tuple({entry.path for entry in entries} for entries in (plan.missing, plan.shared, plan.extra))


def test_a_generation_is_heard_of_at_both_ends_with_the_files_that_it_changed(tmp_path: Path) -> None:
    master_host, worker_host = Host(), Host()

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(hooks=master_host.hooks)
        worker = cluster.worker("worker1", hooks=worker_host.hooks)
        assert await worker.wait_for(1) == master.generation == worker.generation == 1
        cluster.write("master", {"tree/a.conf": b"another\n", "tree/new": b""})
        (cluster.home("master") / "tree/sub/b.conf").unlink()
        assert await master.publish() == 2
        assert await worker.wait_for(2, 60) == 2
        assert await master.publish() == 2, "nothing has changed since"
        await cluster.until(lambda: len(worker_host.generations) == 2)
        assert [event.number for event in worker_host.generations] == [1, 2]
        assert [(e.number, e.root) for e in worker_host.generations] == [
            (e.number, e.root) for e in master_host.generations
        ]
        assert paths(worker_host.generations[0]) == (set(TREE), set(), set())
        assert paths(worker_host.generations[1]) == ({"tree/new"}, {"tree/a.conf"}, {"tree/sub/b.conf"})
        assert [event.plan for event in master_host.generations] == [None, None]

    simulate(tmp_path, story)


def test_a_repair_and_a_step_back_are_heard_of_as_well(tmp_path: Path) -> None:
    host = Host()

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        worker = cluster.worker("worker1", hooks=host.hooks)
        await worker.wait_for(1)
        cluster.write("worker1", {"tree/a.conf": b"edited here\n"})
        cluster.changed(worker, "tree/")
        await cluster.until(lambda: cluster.in_step("worker1"))
        await cluster.until(lambda: len(host.generations) == 2)
        assert worker.generation == 1
        assert paths(host.generations[1]) == (set(), {"tree/a.conf"}, set())
        answer = await worker.routes.ask("a program", ask("outrider.rollback", request_type="local_any"))
        assert answer.ok
        await cluster.until(lambda: len(host.generations) == 3)
        assert host.generations[2] == GenerationEvent(number=0)
        assert worker.generation == 0

    simulate(tmp_path, story)


def test_on_a_link_of_the_base_protocol_files_are_heard_of_without_a_number(tmp_path: Path) -> None:
    host = Host()

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        await cluster.master()
        worker = cluster.worker("worker1", hooks=host.hooks)
        await cluster.until(lambda: bool(host.generations))
        (event,) = host.generations
        assert (event.number, event.root, worker.generation) == (0, "", 0)
        assert paths(event) == (set(TREE), set(), set())
        with pytest.raises(TimeoutError, match="worker1 stands at generation 0, and did not reach 1 within 600 s"):
            await worker.wait_for(1, 600)

    simulate(tmp_path, story, link="base")


def test_agents_and_groups_are_heard_of_at_both_ends(tmp_path: Path) -> None:
    ours, theirs = Host(), Host()
    known = [full_agent(number) for number in range(1, 31)]

    async def story(cluster: Cluster) -> None:
        store = MemoryAgents()
        await store.store_agents(known)
        await store.send_all_again()
        master = await cluster.master(SOON, hooks=ours.hooks)
        cluster.worker("worker1", SOON, agents=store, hooks=theirs.hooks)
        await cluster.until(lambda: bool(theirs.agents))
        for host, peer in ((ours, "worker1"), (theirs, "master")):
            assert {event.peer for event in host.agents} == {peer}
            assert [agent for event in host.agents for agent in event.agents] == known
        web = GroupAssignment(7, ("web", "db"))
        await master.agents.set_groups([web], "override", "syncreq")
        await cluster.until(lambda: bool(theirs.groups))
        assert ours.groups == theirs.groups == [GroupsEvent(assignments=(web,))]

    simulate(tmp_path, story)


def test_a_request_is_heard_of_where_it_came_in_with_who_asked_and_whether_it_failed(tmp_path: Path) -> None:
    ours, theirs = Host(), Host()

    async def story(cluster: Cluster) -> None:
        await cluster.master(hooks=ours.hooks)
        worker = cluster.worker("worker1", hooks=theirs.hooks)
        await worker.wait_for(1)
        at_master: dict[str, Any] = {"request_type": "local_master"}
        answer = await worker.routes.ask("7", ask("outrider.ping", {"text": "x"}, **at_master))
        await worker.routes.ask("7", ask("outrider.ping", {"text": 3}, **at_master))
        await worker.routes.ask("7", ask("outrider.none", **at_master))
        await cluster.until(lambda: len(theirs.requests) == 3)
        assert [(event.call, event.caller, event.failed) for event in theirs.requests] == [
            ("outrider.ping", "local client 7", False),
            ("outrider.ping", "local client 7", True),
            ("outrider.none", "local client 7", True),
        ]
        assert theirs.requests[0].size == len(answer.body)
        assert 0 < theirs.requests[0].seconds < 1
        assert [(event.call, event.caller) for event in ours.requests] == [
            ("outrider.ping", "worker1"),
            ("outrider.ping", "worker1"),
            ("outrider.none", "worker1"),
        ]

    simulate(tmp_path, story)


def test_a_node_whose_hooks_all_fail_is_kept_in_step_as_ever(tmp_path: Path) -> None:
    def fail(event: object) -> None:
        raise RuntimeError(f"no use for {type(event).__name__}")

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        hooks = Hooks(on_generation=fail, on_agent_info=fail, on_groups=fail, on_request=fail)
        await cluster.master(hooks=hooks)
        worker = cluster.worker("worker1", hooks=hooks)
        await worker.wait_for(1)
        assert cluster.in_step("worker1")
        await worker.routes.ask("7", ask("outrider.ping"))
        await cluster.until(lambda: worker.status.snapshot().counters.get("hook_on_request_failed") == 1)
        assert worker.status.snapshot().counters["hook_on_generation_failed"] == 1
        assert worker.status.snapshot().link.connected

    simulate(tmp_path, story)


def test_whoever_waits_for_a_generation_learns_of_the_node_s_end(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        worker = cluster.worker("worker1")
        waiting = asyncio.create_task(worker.wait_for(9))
        await asyncio.sleep(5)
        await cluster.stop(worker)
        with pytest.raises(StoreError, match="this node has ended"):
            await waiting
        await cluster.stop(master)
        with pytest.raises(StoreError, match="does not run, so that it makes no generation"):
            await master.publish()

    simulate(tmp_path, story)
