"""What a peer may send where a request or an answer is expected, told as a worker played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Side, never, say
from tests.support.cluster import Cluster, simulate
from tests.support.peers import played_worker
from tests.support.requests import ask, body, code

from outrider.errors import RefusedByPeer
from outrider.master import Master
from outrider.master.requests import WorkerRequests
from outrider.protocol import commands as c
from outrider.protocol.commands import Command
from outrider.relay.forward import Awaited
from outrider.relay.routes import Answer

SERVES = {
    c.NEW_STR: say(b"7"),
    c.STR_UPD: say(b"String updated"),
    c.DAPI: say(b"Added request to API requests queue"),
    c.DAPI_RESULT: say(b"Response forwarded to worker"),
    c.DAPI_ERR: say(b"DAPI error forwarded to worker"),
    c.SENDSYNC_ERROR: say(b"SendSync error forwarded to worker"),
}
PING = ask("outrider.ping", {"text": "hi"}, request_type="local_master")
Story = Callable[[Cluster, Master, Side], Coroutine[Any, Any, None]]


def with_worker(folder: Path, story: Story) -> None:
    async def whole(cluster: Cluster) -> None:
        master = await cluster.master()
        await story(cluster, master, await played_worker(cluster, serves=SERVES))

    simulate(folder, whole)


def awaited(master: Master) -> Awaited:
    member = master.roster.get("worker1")
    assert member is not None
    return member.talks.of("requests", WorkerRequests).awaited


async def refused(side: Side, command: Command, payload: bytes) -> tuple[int, str | None]:
    with pytest.raises(RefusedByPeer) as caught:
        await side.channel.request(command, payload, 20)
    return caught.value.code, caught.value.detail


async def asked(cluster: Cluster, side: Side, name: str) -> bytes:
    """The payload of the last request of this name, when one has come."""
    await cluster.until(lambda: any(one == name for one, _ in side.requests))
    return [payload for one, payload in side.requests if one == name][-1]


async def string(side: Side, text: bytes) -> bytes:
    name = await side.channel.request(c.NEW_STR, b"%d" % len(text), 20)
    await side.channel.request(c.STR_UPD, name + b" " + text, 20)
    return name


def test_threat_23_who_asks_on_and_takes_no_answer_is_refused_and_told_the_limit(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master({"limits.requests_running_per_peer": 2, "limits.requests_waiting_per_peer": 3})
        side = await played_worker(cluster, serves={**SERVES, c.NEW_STR: never})
        for number in range(5):
            await side.channel.request(c.DAPI, b"%d " % number + PING, 20)
            await asyncio.sleep(1)  # it is answered: what it waits for is the worker
        assert master.status.snapshot().limits_hit == {}
        answer = await refused(side, c.DAPI, b"5 " + PING)
        text = "5 requests of yours here already (limits.requests_waiting_per_peer); try again later"
        assert answer == (1000, text)
        assert master.status.snapshot().limits_hit == {"limits.requests_waiting_per_peer": 1}

    simulate(tmp_path, story)


@pytest.mark.parametrize("command", [c.DAPI, c.SENDSYNC])
@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"7", b"\xff {}", b"7 \xff", b" {}", b"a\nb {}", b"x" * 200 + b" {}", b"master {}"]
)
def test_threat_19_a_request_without_an_id_or_text_is_refused_and_the_service_goes_on(
    tmp_path: Path, command: Command, payload: bytes
) -> None:
    async def story(cluster: Cluster, _: Master, side: Side) -> None:
        assert (await refused(side, command, payload))[0] == 1000
        assert await side.channel.request(c.DAPI, b"12 " + PING, 20) == b"Added request to API requests queue"
        assert await asked(cluster, side, "dapi_res") == b"12 7"
        assert b'"text": "hi"' in await asked(cluster, side, "str_upd")

    with_worker(tmp_path, story)


def test_what_cannot_be_run_is_told_as_a_text_under_the_id(tmp_path: Path) -> None:
    async def story(cluster: Cluster, _: Master, side: Side) -> None:
        await side.channel.request(c.DAPI, b"rid notjson", 20)
        assert await asked(cluster, side, "dapi_err") == b"rid Expecting value: line 1 column 1 (char 0)"
        message = b'12 {"daemon_name": "nodaemon", "message": "x"}'
        assert await side.channel.request(c.SENDSYNC, message, 20) == b"Added request to SendSync requests queue"
        said = await asked(cluster, side, "sendsyn_err")
        assert said == b"12 Error 1014 - Error communicating with socket: 'nodaemon'"

    with_worker(tmp_path, story)


def test_an_answer_is_taken_once_under_its_own_id(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, side: Side) -> None:
        waiting = asyncio.ensure_future(master.routes.forward("5", "worker1", PING))
        name = (await asked(cluster, side, "dapi")).split(b" ", 1)[0]
        other = await string(side, b'"for nobody"')
        assert await refused(side, c.DAPI_RESULT, b"other " + other) == (3032, "other")
        result = name + b" " + await string(side, b'"mine"')
        assert await side.channel.request(c.DAPI_RESULT, result, 20) == b"Response forwarded to worker"
        assert body(await waiting) == "mine"
        assert (await refused(side, c.DAPI_RESULT, result))[0] == 3032
        assert (await refused(side, c.DAPI_ERR, name + b" late"))[0] == 3032
        assert master.status.snapshot().counters["requests_answered_too_late"] == 3
        member = master.roster.get("worker1")
        assert member is not None
        assert len(member.session.strings) == 0  # what came for nobody is not kept

    with_worker(tmp_path, story)


def test_an_error_is_an_answer_and_a_string_that_is_not_whole_is_one_at_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, side: Side) -> None:
        waiting = asyncio.ensure_future(master.routes.forward("5", "worker1", PING))
        name = (await asked(cluster, side, "dapi")).split(b" ", 1)[0]
        thanks = await side.channel.request(c.DAPI_ERR, name + b" no, thanks", 20)
        assert thanks == b"DAPI error forwarded to worker"
        assert await waiting == Answer(b"no, thanks", ok=False)
        side.requests.clear()
        waiting = asyncio.ensure_future(master.routes.forward("5", "worker1", PING))
        name = (await asked(cluster, side, "dapi")).split(b" ", 1)[0]
        assert await refused(side, c.DAPI_RESULT, name + b" 404") == (1000, "b'404'")
        assert code(await waiting) == 1000

    with_worker(tmp_path, story)


def test_threat_22_whoever_gives_up_leaves_no_entry(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, side: Side) -> None:
        waiting = asyncio.ensure_future(master.routes.forward("5", "worker1", PING))
        await asked(cluster, side, "dapi")
        assert len(awaited(master)) == 1
        waiting.cancel()
        await cluster.until(lambda: len(awaited(master)) == 0)
        another = asyncio.ensure_future(master.routes.forward("6", "worker1", PING))
        await cluster.until(lambda: len(awaited(master)) == 1)
        side.channel.close("gone")
        assert code(await another) == 3022

    with_worker(tmp_path, story)
