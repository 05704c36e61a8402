"""The clients of the local socket against a real server of one: answers typed, errors clear, nothing mixed up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.support.local_clients import until
from tests.unit.relay.test_local import Stage, serve

from outrider.client import AsyncLocalClient, LocalClient, socket_of
from outrider.errors import ConnectionLostError, RefusedByPeer, RequestTimeoutError, TransportError
from outrider.exchange.pending import Pending
from outrider.model import NodeInfo
from outrider.protocol.api import Request, decode_request
from outrider.protocol.commands import GET_NODES, Command
from outrider.protocol.faults import Failure, NodeError
from outrider.protocol.results import WazuhResult, encode_result
from outrider.relay.control import health_answer, nodes_answer
from outrider.relay.routes import Answer
from outrider.settings import Settings

MASTER = NodeInfo(name="head", type="master", version="4.9.2", address="192.0.2.1")


FIXED: dict[str, Any] = {
    "foreign": {"__wazuh_exception__": {"__class__": "Newer", "__object__": {"code": 1}}},
    "everywhere": {"w1": {"when": date(2026, 1, 2)}, "w2": Failure.of_cluster(3022, "w2")},
    "nowhere": Failure(code=1000, extra_message="a", dapi_errors={"w1": NodeError("a"), "w2": NodeError("b")}),
}


class Answers:
    """Routes that answer a few calls."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def ask(self, client: str, request: bytes) -> Pending[Answer]:
        del client
        return Pending.of(self._answer(decode_request(request)))

    async def _answer(self, read: Request) -> Answer:
        self.requests.append(read)
        if read.call in FIXED:
            return Answer(encode_result(FIXED[read.call]))
        match read.call:
            case "add":
                return Answer(encode_result(WazuhResult({"sum": read.f_kwargs["a"] + read.f_kwargs["b"]})))
            case "large":
                return Answer(encode_result("x" * 3_000_000))
            case "fail":
                return Answer(encode_result(Failure(code=1701, extra_message="12")))
            case "slow":
                await asyncio.sleep(10**6)
        return Answer(b"no such call", ok=False)

    def forward(self, client: str, node: str, request: bytes) -> Pending[Answer]:
        raise NotImplementedError

    def sendsync(self, client: str, request: bytes) -> Pending[Answer]:
        raise NotImplementedError

    def left(self, client: str) -> None:
        del client


async def control(command: Command, payload: bytes) -> bytes:
    if command is GET_NODES:
        return nodes_answer(payload, [MASTER])
    return health_answer(json.loads(payload), MASTER, 2, [])


def with_client(
    folder: Path, role: str, story: Callable[[AsyncLocalClient, Stage, Answers], Coroutine[Any, Any, None]]
) -> None:
    async def whole(stage: Stage) -> None:
        async with AsyncLocalClient(stage.path, timeout_s=20) as client:
            assert isinstance(stage.server.services.routes, Answers)
            await story(client, stage, stage.server.services.routes)

    serve(folder, role, whole, routes=Answers(), control=control)


@pytest.mark.parametrize("role", ["master", "worker"])
def test_every_question_has_a_typed_answer(tmp_path: Path, role: str) -> None:
    async def story(client: AsyncLocalClient, _: Stage, __: Answers) -> None:
        assert await client.nodes() == [MASTER]
        health = await client.health("head")
        assert (health.connected, health.nodes["head"]["info"]["n_active_agents"]) == (0, 2)
        assert (await client.config())["node_name"] == "n1"
        assert set(await client.hash()) == {"etc/rules/a.xml", "etc/lists/b"}
        assert await client.call("add", a=1, b=2) == WazuhResult({"sum": 3})
        assert await client.call("large") == "x" * 3_000_000

    with_client(tmp_path, role, story)


@pytest.mark.parametrize("role", ["master", "worker"])
def test_what_fails_says_why_and_leaves_the_connection(tmp_path: Path, role: str) -> None:
    async def story(client: AsyncLocalClient, _: Stage, __: Answers) -> None:
        with pytest.raises(RefusedByPeer, match="1730"):
            await client.health("nobody")
        with pytest.raises(RefusedByPeer, match=r"Error 1701 - .*: 12"):
            await client.call("fail")
        with pytest.raises(RefusedByPeer, match="no such call"):
            await client.call("nothing")
        assert await client.nodes() == [MASTER]

    with_client(tmp_path, role, story)


def test_questions_at_the_same_time_get_each_its_own_answer(tmp_path: Path) -> None:
    async def story(client: AsyncLocalClient, _: Stage, __: Answers) -> None:
        asked = [client.call("add", a=number, b=0) for number in range(20)]
        assert await asyncio.gather(*asked) == [WazuhResult({"sum": number}) for number in range(20)]

    with_client(tmp_path, "worker", story)


def test_a_question_that_is_given_up_closes_the_connection_so_that_its_answer_is_nobody_else_s(tmp_path: Path) -> None:
    async def story(client: AsyncLocalClient, _: Stage, __: Answers) -> None:
        asking = asyncio.create_task(client.call("slow"))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(ConnectionLostError, match="given up"):
            await client.call("add", a=1, b=1)

    with_client(tmp_path, "master", story)


def test_a_client_that_keeps_its_connection_says_that_it_lives_also_while_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outrider.client._KEEP_ALIVE_S", 0.01)

    async def story(client: AsyncLocalClient, stage: Stage, answers: Answers) -> None:
        asking = asyncio.create_task(client.call("slow"))
        await until(lambda: len(answers.requests) == 1)
        (node_side,) = stage.server._clients.values()
        before = node_side.last_keep_alive
        await until(lambda: node_side.last_keep_alive > before)
        assert not asking.done()
        asking.cancel()

    with_client(tmp_path, "worker", story)


def test_an_answer_that_does_not_come_is_a_timeout(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        async with AsyncLocalClient(stage.path, timeout_s=0.1) as client:
            with pytest.raises(RequestTimeoutError, match=r"did not answer within 0\.1 s"):
                await client.call("slow")

    serve(tmp_path, "worker", story, routes=Answers(), control=control)


def test_a_node_that_stops_fails_the_question(tmp_path: Path) -> None:
    async def story(client: AsyncLocalClient, stage: Stage, _: Answers) -> None:
        asking = asyncio.create_task(client.call("slow"))
        await asyncio.sleep(0.05)
        for one in list(stage.server._clients.values()):
            one.channel.close("the node is stopping")
        with pytest.raises(ConnectionLostError, match="the node closed the connection"):
            await asking

    with_client(tmp_path, "worker", story)


def test_calls_at_nodes_travel_as_distributed_requests(tmp_path: Path) -> None:
    async def story(client: AsyncLocalClient, _: Stage, answers: Answers) -> None:
        await client.call_nodes("add", ["w1", "w2"], {"a": 1, "b": 1})
        await client.call_nodes("add", [], {"a": 1, "b": 1})
        assert [(one.request_type, one.nodes) for one in answers.requests] == [
            ("distributed_master", ("w1", "w2")),
            ("distributed_master", ()),
        ]

        assert [one.api_timeout for one in answers.requests] == [20, 20]  # nobody works longer on it than we wait

    with_client(tmp_path, "master", story)


def test_what_fails_at_a_node_is_a_failure_in_its_place_or_names_the_nodes(tmp_path: Path) -> None:
    async def story(client: AsyncLocalClient, _: Stage, __: Answers) -> None:
        assert await client.call_nodes("everywhere", [], {}) == {
            "w1": {"when": {"__wazuh_datetime__": "2026-01-02"}},
            "w2": Failure.of_cluster(3022, "w2"),
        }
        with pytest.raises(RefusedByPeer, match="error 1000: a, at w1, w2"):
            await client.call_nodes("nowhere", [], {})

    with_client(tmp_path, "master", story)


def test_an_error_of_a_class_that_nobody_knows_is_no_answer(tmp_path: Path) -> None:
    async def story(client: AsyncLocalClient, _: Stage, __: Answers) -> None:
        with pytest.raises(RefusedByPeer, match=r"an error that is not understood: .*Newer"):
            await client.call("foreign")

    with_client(tmp_path, "worker", story)


def test_without_an_event_loop_the_answers_are_the_same(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = LocalClient(stage.path, timeout_s=20)
        assert await asyncio.to_thread(client.nodes) == [MASTER]
        assert await asyncio.to_thread(lambda: client.call("add", a=2, b=2)) == WazuhResult({"sum": 4})
        assert (await asyncio.to_thread(client.health)).nodes.keys() == {"head"}
        assert (await asyncio.to_thread(client.config))["node_type"] == "worker"
        assert await asyncio.to_thread(client.hash)

    serve(tmp_path, "worker", story, routes=Answers(), control=control)


def test_threads_ask_side_by_side_through_one_client(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = LocalClient(stage.path, timeout_s=20)
        asked = [asyncio.to_thread(client.call, "add", a=number, b=0) for number in range(20)]
        assert await asyncio.gather(*asked) == [WazuhResult({"sum": number}) for number in range(20)]

    serve(tmp_path, "master", story, routes=Answers(), control=control)


def test_inside_an_event_loop_the_waiting_client_says_which_one_to_use(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(TypeError, match="use AsyncLocalClient here"):
            LocalClient(stage.path).nodes()

    serve(tmp_path, "worker", story, routes=Answers(), control=control)


def test_a_client_outlives_its_node_and_one_that_keeps_its_connection_says_that_it_is_gone(tmp_path: Path) -> None:
    client = LocalClient(tmp_path / "queue/cluster/c-internal.sock", timeout_s=20)

    async def story(_: Stage) -> None:
        assert await asyncio.to_thread(client.call, "add", a=1, b=1) == WazuhResult({"sum": 2})

    serve(tmp_path, "worker", story, routes=Answers(), control=control)
    with pytest.raises(TransportError, match="no node answers"):
        client.nodes()
    serve(tmp_path, "worker", story, routes=Answers(), control=control)


@pytest.mark.parametrize("reply", [b"[]", b"{}", b'{"items": 5}', b"no JSON", b"\xff", b"{" * 10_000])
def test_an_answer_that_is_none_is_an_error_of_the_node(tmp_path: Path, reply: bytes) -> None:
    async def odd(command: Command, payload: bytes) -> bytes:
        del command, payload
        return reply

    async def story(stage: Stage) -> None:
        async with AsyncLocalClient(stage.path, timeout_s=20) as client:
            with pytest.raises(RefusedByPeer, match="not understood"):
                await client.nodes()

    serve(tmp_path, "worker", story, routes=Answers(), control=odd)


def test_no_node_is_said_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings.from_mapping({"node.home": str(tmp_path)})
    with pytest.raises(TransportError, match=r"no node answers at .*c-internal.sock: No such file .*; start one with"):
        LocalClient.of(settings).nodes()
    assert socket_of(settings) == tmp_path / "queue/cluster/c-internal.sock"
