"""Requests through a whole cluster in virtual time: every route, what is late, lost, given up, or too much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster, simulate
from tests.support.requests import Slow, ask, body, code, slow_calls

from outrider.errors import Refusal
from outrider.master import Master
from outrider.master.requests import WorkerRequests
from outrider.relay.routes import Answer
from outrider.worker import Worker

PING = "outrider.ping"
NODE = "wazuh.cluster:get_node_wrapper"
Story = Callable[[Cluster, Master, list[Worker], Slow], Coroutine[Any, Any, None]]


def with_nodes(folder: Path, story: Story, **changes: Any) -> None:
    """A master and three workers that have joined."""

    async def whole(cluster: Cluster) -> None:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        master = await cluster.master(dotted)
        workers = [cluster.worker(f"worker{number}", dotted) for number in (1, 2, 3)]
        await cluster.until(lambda: len(master.roster) == 3)
        await story(cluster, master, workers, slow)

    with slow_calls() as slow:
        simulate(folder, whole)


def nodes_of(answer: Answer) -> list[str]:
    return [item["node"] for item in body(answer)["__wazuh_result__"]["__object__"]["affected_items"]]


def test_a_program_beside_a_worker_asks_the_master(tmp_path: Path) -> None:
    async def story(_: Cluster, __: Master, workers: list[Worker], ___: Slow) -> None:
        answer = await workers[0].routes.ask("5", ask(NODE, request_type="local_master"))
        assert nodes_of(answer) == ["master-node"]
        here = await workers[0].routes.ask("5", ask(NODE, request_type="local_any"))
        assert nodes_of(here) == ["worker1"]

    with_nodes(tmp_path, story)


@pytest.mark.parametrize("beside", ["master", "worker"])
def test_one_node_several_and_all_answer_and_are_merged(tmp_path: Path, beside: str) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], __: Slow) -> None:
        routes = master.routes if beside == "master" else workers[1].routes
        everyone = ["master-node", "worker1", "worker2", "worker3"]
        assert sorted(nodes_of(await routes.ask("5", ask(NODE)))) == everyone
        assert sorted(nodes_of(await routes.ask("5", ask(NODE, nodes=("worker1", "worker3"))))) == everyone[1::2]
        assert nodes_of(await routes.ask("5", ask(NODE, {"node_id": "worker2"}))) == ["worker2"]
        pings = body(await routes.ask("5", ask(PING, {"text": "hi", "node_list": ["worker1", "worker2"]})))
        assert {node: pong["text"] for node, pong in pings.items()} == {"worker1": "hi", "worker2": "hi"}

    with_nodes(tmp_path, story)


def test_a_program_beside_the_master_asks_one_worker(tmp_path: Path) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], __: Slow) -> None:
        request = ask(NODE, request_type="local_master")
        assert nodes_of(await master.routes.forward("5", "worker2", request)) == ["worker2"]
        assert nodes_of(await master.routes.forward("5", "master-node", request)) == ["master-node"]
        for name in ("master", "nobody", ""):
            with pytest.raises(Refusal) as refusal:
                master.routes.forward("5", name, request)
            assert refusal.value.code == 3022
        with pytest.raises(Refusal):
            workers[0].routes.forward("5", "worker2", request)

    with_nodes(tmp_path, story)


def test_threat_18_a_name_that_no_table_holds_is_an_error_at_each_node(tmp_path: Path) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], __: Slow) -> None:
        for routes in (master.routes, workers[0].routes):
            answer = await routes.ask("5", ask("os:system", {"command": "true"}, request_type="local_master"))
            assert not answer.ok
            assert b"no call named 'os:system'" in answer.body
            assert code(await routes.ask("5", ask("os:system", {"command": "true"}))) == 3000
        forwarded = await master.routes.forward("5", "worker1", ask("os:system"))
        assert not forwarded.ok

    with_nodes(tmp_path, story)


@pytest.mark.parametrize("request_", [b"", b"{", b"\xff", b"[" * 10_000, b'{"f": 1}', b"x" * 1_100_000])
def test_threat_19_what_is_no_request_is_an_error_to_its_caller(tmp_path: Path, request_: bytes) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], __: Slow) -> None:
        for answer in (
            await master.routes.ask("5", request_),
            await master.routes.forward("5", "worker1", request_),
            await workers[0].routes.ask("5", request_),
        ):
            assert not answer.ok
            assert answer.body
        assert nodes_of(await workers[0].routes.ask("5", ask(NODE, request_type="local_master"))) == ["master-node"]

    with_nodes(tmp_path, story)


def test_a_node_that_is_lost_half_way_is_a_failed_item_at_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: list[Worker], slow: Slow) -> None:
        await asyncio.sleep(5)
        asked = asyncio.ensure_future(master.routes.ask("5", ask("test.sleep", {"seconds": 9}, api_timeout=60)))
        await cluster.until(lambda: len(slow.running) == 4)
        cluster.fabric.cut(cluster.address("worker2"))
        answers = body(await asked)
        assert answers["worker1"] == "worker1 for master"
        assert answers["worker2"]["__wazuh_exception__"]["__object__"]["code"] == 3022
        await cluster.until(lambda: slow.cancelled == ["worker2"])

    with_nodes(tmp_path, story)


def test_all_that_waits_for_a_lost_worker_fails_at_once_and_nothing_stays(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: list[Worker], slow: Slow) -> None:
        asked = [
            asyncio.ensure_future(master.routes.forward("5", "worker1", ask("test.sleep", {"seconds": 150})))
            for _ in range(20)
        ]
        await cluster.until(lambda: len(slow.running) == 20)
        member = master.roster.get("worker1")
        assert member is not None
        assert len(member.talks.of("requests", WorkerRequests).awaited) == 20
        started = asyncio.get_running_loop().time()
        cluster.fabric.cut(cluster.address("worker1"))
        assert {code(answer) for answer in await asyncio.gather(*asked)} == {3022}
        assert asyncio.get_running_loop().time() - started < 1
        assert len(member.talks.of("requests", WorkerRequests).awaited) == 0

    with_nodes(tmp_path, story)


def test_what_waits_for_a_lost_master_fails_at_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster, _: Master, workers: list[Worker], slow: Slow) -> None:
        request = ask("test.sleep", {"seconds": 150}, request_type="local_master")
        asked = asyncio.ensure_future(workers[0].routes.ask("5", request))
        await cluster.until(lambda: slow.running == ["master-node"])
        cluster.fabric.cut(cluster.address("worker1"))
        assert code(await asked) == 3023
        with pytest.raises(Refusal) as refusal:
            workers[0].routes.ask("5", request)
        assert refusal.value.code == 3023
        await cluster.until(lambda: slow.cancelled == ["master-node"])

    with_nodes(tmp_path, story)


def test_a_late_node_is_a_failed_item_and_its_answer_is_dropped_and_counted(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, workers: list[Worker], _: Slow) -> None:
        cluster.fabric.latency = 6  # the worker's answer needs four ways
        answers = body(await master.routes.ask("5", ask(PING, api_timeout=10)))
        assert answers["master-node"]["text"] == ""
        failed = answers["worker1"]["__wazuh_exception__"]["__object__"]
        assert failed["code"] == 3021
        cluster.fabric.latency = 0.01
        await cluster.until(lambda: master.status.snapshot().counters.get("requests_answered_too_late", 0) == 3)
        assert len(workers) == 3

    with_nodes(tmp_path, story)


def test_a_request_that_takes_too_long_ends_at_its_deadline(tmp_path: Path) -> None:
    async def story(_: Cluster, __: Master, workers: list[Worker], slow: Slow) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        request = ask("test.sleep", {"seconds": 1000}, request_type="local_master", api_timeout=30)
        assert code(await workers[0].routes.ask("5", request)) == 3021
        assert 29 < loop.time() - started < 31
        await asyncio.sleep(1)
        assert slow.cancelled == ["master-node"]

    with_nodes(tmp_path, story)


def test_threat_22_a_caller_that_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, workers: list[Worker], slow: Slow) -> None:
        request = ask("test.sleep", {"seconds": 100})
        asked = asyncio.ensure_future(master.routes.ask("5", request))
        await cluster.until(lambda: len(slow.running) == 4)
        asked.cancel()
        await cluster.until(lambda: slow.cancelled == ["master-node"])
        assert all(len(member.talks.of("requests", WorkerRequests).awaited) == 0 for member in master.roster.members())
        gone = asyncio.ensure_future(workers[0].routes.ask("6", request))
        await cluster.until(lambda: len(slow.running) == 8)
        workers[0].routes.left("6")
        assert code(await gone) == 3022  # which nobody hears

    with_nodes(tmp_path, story)


def test_threat_21_one_slow_request_holds_up_none_of_a_thousand(tmp_path: Path) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], __: Slow) -> None:
        ended: list[str] = []

        async def one(name: str, waiting: Any) -> None:
            assert (await waiting).ok
            ended.append(name)

        taking_200_s = ask("test.sleep", {"seconds": 200}, wait_for_complete=True)
        slow = one("slow", master.routes.forward("1", "worker1", taking_200_s))
        routes = [master.routes, *(worker.routes for worker in workers)]
        quick = [
            one("quick", routes[number % 4].ask(str(number % 40), ask(PING, nodes=("worker1",))))
            for number in range(1000)
        ]
        await asyncio.gather(slow, *quick)
        assert ended == ["quick"] * 1000 + ["slow"]

    with_nodes(tmp_path, story)


def test_threat_23_a_flood_of_one_worker_is_stopped_by_its_quota(tmp_path: Path) -> None:
    slow: Slow

    async def story(cluster: Cluster) -> None:
        tight = {"limits.requests_running_per_peer": 4, "limits.requests_waiting_per_peer": 10}
        master = await cluster.master(tight)
        workers = [cluster.worker(f"worker{number}") for number in (1, 2)]  # which hold themselves back for nobody
        await cluster.until(lambda: len(master.roster) == 2)
        request = ask("test.sleep", {"seconds": 20}, request_type="local_master")
        flood = [workers[0].routes.ask(str(number), request) for number in range(60)]
        flooding = asyncio.gather(*flood)
        await asyncio.sleep(1)
        assert len(slow.running) == 4
        assert await soon(workers[1], ask(NODE, request_type="local_master")) == ["master-node"]
        answers = await flooding
        assert sum(b"limits.requests_waiting_per_peer" in answer.body for answer in answers) == 60 - 4 - 10

    with slow_calls() as slow:
        simulate(tmp_path, story)


async def soon(worker: Worker, request: bytes) -> list[str]:
    """Who answers a program beside a worker, which must be at once."""
    started = asyncio.get_running_loop().time()
    answer = await worker.routes.ask("other", request)
    assert asyncio.get_running_loop().time() - started < 1
    return nodes_of(answer)


@pytest.mark.parametrize("size", [10, 300_000])
def test_threat_23_who_floods_one_worker_through_the_master_leaves_others_their_way_to_it(
    tmp_path: Path, size: int
) -> None:
    async def story(cluster: Cluster, _: Master, workers: list[Worker], slow: Slow) -> None:
        request = ask("test.sleep", {"seconds": 150}, nodes=("worker1",), current_user="x" * size)
        flood = [workers[1].routes.ask(str(number % 2), request) for number in range(200)]
        await cluster.until(lambda: len(slow.running) > 40)
        await asyncio.sleep(5)
        assert set(slow.running) == {"worker1"}
        assert await soon(workers[2], ask(NODE, nodes=("worker1",))) == ["worker1"]
        assert await soon(workers[2], ask(NODE, nodes=("worker1",), current_user="y" * size)) == ["worker1"]
        for one in flood:
            one.give_up()

    with_nodes(tmp_path, story)


def test_a_worker_takes_of_its_master_what_several_callers_may_ask_and_no_more(tmp_path: Path) -> None:
    slow: Slow

    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        tight = {"running": 8, "running_per_peer": 2, "waiting_per_peer": 1}
        cluster.worker("worker1", {f"limits.requests_{name}": value for name, value in tight.items()})
        await cluster.until(lambda: len(master.roster) == 1)
        request = ask("test.sleep", {"seconds": 20}, request_type="local_master")
        asked = [asyncio.ensure_future(master.routes.forward("5", "worker1", request)) for _ in range(12)]
        await asyncio.sleep(1)
        assert len(slow.running) == 6  # three quarters of all places: as many as three callers have
        answers = await asyncio.gather(*asked)
        assert sum(b"requests_waiting_per_peer" in answer.body for answer in answers) == 12 - 6 - 3

    with slow_calls() as slow:
        simulate(tmp_path, story)


def test_threat_23_a_program_that_floods_the_master_leaves_others_of_its_worker_their_way(tmp_path: Path) -> None:
    async def story(cluster: Cluster, _: Master, workers: list[Worker], slow: Slow) -> None:
        request = ask("test.sleep", {"seconds": 150}, request_type="local_master")
        flood = [workers[1].routes.ask("flood", request) for _ in range(500)]
        await cluster.until(lambda: len(slow.running) == 48)  # of the 64 that the master runs for its worker
        await asyncio.sleep(5)
        assert len(slow.running) == 48
        assert await soon(workers[1], ask(NODE, request_type="local_master")) == ["master-node"]
        assert await soon(workers[1], ask(NODE, nodes=("worker3",))) == ["worker3"]
        for one in flood:
            one.give_up()

    with_nodes(tmp_path, story)


def test_threat_23_a_request_that_names_a_hundred_thousand_nodes_is_an_error_and_none_of_them_is_asked(
    tmp_path: Path,
) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], slow: Slow) -> None:
        nodes = ("worker2", *(f"{number:x}" for number in range(100_000)))
        request = ask("test.sleep", {"seconds": 1}, nodes=nodes)
        answer = await workers[0].routes.ask("5", request)
        assert code(answer) == 1000
        assert b"there are 4097 at most (limits.connections)" in answer.body
        assert slow.running == []
        assert master.status.snapshot().limits_hit == {"limits.connections": 1}

    with_nodes(tmp_path, story)


def test_large_results_travel_and_too_large_ones_are_failures(tmp_path: Path) -> None:
    async def story(_: Cluster, master: Master, workers: list[Worker], __: Slow) -> None:
        request = ask("test.large", {"size": 3_000_000}, request_type="local_master")
        assert len(body(await workers[0].routes.ask("5", request))) == 3_000_000
        three = {"size": 3_000_000, "node_list": ["worker1", "worker2", "worker3"]}
        answers = body(await master.routes.ask("5", ask("test.large", three)))
        kinds = sorted(type(answer).__name__ for answer in answers.values())
        assert kinds == ["dict", "dict", "str"]
        assert b"limits.result_bytes" in (await master.routes.ask("5", ask("test.large", {"size": 6_000_000}))).body

    with_nodes(tmp_path, story, limits__result_bytes=5_000_000)
