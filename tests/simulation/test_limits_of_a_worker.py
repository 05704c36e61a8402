"""The limits of a worker are hit by its master: counted at the worker, under their keys, and named to whom it concerns.

A master is no less able to harm than a worker is: whoever has the cluster's key may stand where it should be. Limits
that no master can hit (of connections, of messages that go to a worker, of programs) have their rows in test_limits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.channels import Side, say
from tests.support.cluster import Cluster, simulate
from tests.support.peers import PlayedMaster, send_file
from tests.support.requests import ask, slow_calls

from outrider.errors import RefusedByPeer
from outrider.protocol import commands as c
from outrider.protocol.bodies import TransferPath
from outrider.protocol.commands import Command
from outrider.protocol.frame import HEADER, pack_frame
from outrider.settings import Limits
from outrider.worker import Worker

KIB, MIB = 1024, 1024 * 1024
LARGEST = 6_990_624
"""The least that a frame of a known peer may be allowed: what an old peer sends."""


class Stage(NamedTuple):
    """A worker with the limit, and the far end of its link."""

    cluster: Cluster
    worker: Worker
    side: Side

    async def say(self, command: Command, *bodies: bytes) -> str:
        """Say all of these at once; what was answered."""
        saying = (self.side.channel.request(command, body, 20) for body in bodies)
        return "\n".join(str(one) for one in await asyncio.gather(*saying, return_exceptions=True))

    async def strings(self, *texts: bytes) -> list[bytes]:
        """Send these strings."""
        names = [await self.side.channel.request(c.NEW_STR, b"%d" % len(text), 20) for text in texts]
        for name, text in zip(names, texts, strict=True):
            await self.side.channel.request(c.STR_UPD, name + b" " + text, 20)
        return names

    def raw(self, data: bytes) -> None:
        stream = self.side.channel.stream
        assert stream is not None
        stream.write(data)


SERVES = {c.NEW_STR: say(b"1"), c.STR_UPD: say(b""), c.DAPI_RESULT: say(b""), c.DAPI_ERR: say(b"")}
Scene = Callable[[Stage], Awaitable[object]]


# what a master sends over the link


async def closes(stage: Stage, data: bytes) -> None:
    stage.raw(data)
    async with asyncio.timeout(20):
        await stage.side.channel.closed()


async def two_files(stage: Stage) -> str:
    await send_file(stage.side, "worker1", b"1", whole=False)
    with pytest.raises(RefusedByPeer) as caught:
        await send_file(stage.side, "worker1", b"22", whole=False)
    return str(caught.value)


async def large_file(stage: Stage) -> str:
    with pytest.raises(RefusedByPeer) as caught:
        await send_file(stage.side, "worker1", b"x" * 2000)
    return str(caught.value)


async def more_than_the_disk_takes(stage: Stage) -> None:
    stage.cluster.slow_threads(stage.worker, 1)
    await send_file(stage.side, "worker1", b"x" * 100_000)


async def more_requests_than_the_disk_takes(stage: Stage) -> None:
    stage.cluster.slow_threads(stage.worker, 1)
    path = TransferPath("worker1", "worker1-1700000000.5-0.zip").rooted
    await stage.side.channel.request(c.NEW_FILE, path, 20)
    assert await stage.say(c.FILE_UPD, *[path + b" "] * 5) == "\n".join(["b'File updated'"] * 5)


async def many_bytes_of_strings(stage: Stage) -> str:
    names = [await stage.side.channel.request(c.NEW_STR, b"1000", 20) for _ in range(2)]
    return await stage.say(c.STR_UPD, *(name + b" " + b"x" * 1000 for name in names))


async def answers_that_nobody_reads(stage: Stage) -> None:
    stage.side.channel.hold("it does not read")
    asking = [stage.side.channel.request(c.ECHO, b"x" * 500_000, 20) for _ in range(10)]
    await asyncio.sleep(10)
    assert not any(one.done() for one in asking), "what was said"
    stage.side.channel.release("it does not read")
    assert {len(answer) for answer in await asyncio.gather(*asking)} == {500_000}


async def groups_without_end(stage: Stage) -> str:
    return await stage.say(c.FULL_GROUPS, *await stage.strings(b"{}", b"{}"))


# what a master asks for


async def asked(stage: Stage, *requests: bytes) -> str:
    """Ask the worker all of these at once; what is answered at once, and what it sends later."""
    known = {b"%d" % number: request for number, request in enumerate(requests)}
    told = await stage.say(c.DAPI, *(name + b" " + request for name, request in known.items()))
    await asyncio.sleep(30)
    return "\n".join([told, *(payload.decode() for _, payload in stage.side.requests)])


def sleep(seconds: float = 5, **fields: Any) -> bytes:
    return ask("test.sleep", {"seconds": seconds}, **fields)


async def one_beside_the_worker_and_its_master(stage: Stage) -> None:
    beside = stage.worker.routes.ask("a program", sleep(request_type="local_any"))
    await asked(stage, sleep())
    await beside


async def a_blocking_call(stage: Stage) -> None:
    stage.cluster.slow_threads(stage.worker, 1)
    await asked(stage, *[ask("test.plain")] * 2)


SENT: dict[str, tuple[dict[str, Any], Scene]] = {
    "frame_bytes": (
        {"frame_bytes": LARGEST},
        lambda stage: closes(stage, HEADER.pack(7, LARGEST + 1, b"echo -------")),
    ),
    "message_bytes": (
        {"message_bytes": LARGEST},
        lambda stage: closes(stage, pack_frame(7, b"echo", b"x" * 4_000_000, b"d") * 2),
    ),
    "open_messages": (
        {"open_messages": 1},
        lambda stage: closes(stage, pack_frame(7, b"echo", b"x", b"d") + pack_frame(8, b"echo", b"x", b"d")),
    ),
    "open_files": ({"open_files": 1}, two_files),
    "file_bytes": ({"file_bytes": KIB}, large_file),
    "inflight_write_bytes": ({"inflight_write_bytes": 64 * KIB}, more_than_the_disk_takes),
    "inflight_writes": ({"inflight_writes": 2}, more_requests_than_the_disk_takes),
    "open_strings": ({"open_strings": 1}, lambda stage: stage.say(c.NEW_STR, b"10", b"10")),
    "string_bytes": ({"string_bytes": KIB}, lambda stage: stage.say(c.NEW_STR, b"5000")),
    "strings_total": ({"string_bytes": KIB, "strings_total": KIB}, many_bytes_of_strings),
    "answers_under_way": ({"answers_under_way": 1}, lambda stage: send_file(stage.side, "worker1", b"1")),
    "unread_answers_bytes": ({"unread_answers_bytes": MIB}, answers_that_nobody_reads),
    "tasks": ({"tasks": 1}, groups_without_end),
    "json_depth": ({"json_depth": 3}, lambda stage: asked(stage, ask("outrider.ping", {"text": [[[[]]]]}))),
    "request_bytes": ({"request_bytes": KIB}, lambda stage: asked(stage, ask("outrider.ping", {"text": "x" * 2000}))),
    "result_bytes": ({"result_bytes": KIB}, lambda stage: asked(stage, ask("test.large", {"size": 2000}))),
    "requests_running": (
        {"requests_running": 1, "requests_running_per_peer": 1},
        one_beside_the_worker_and_its_master,
    ),
    "requests_running_per_peer": (
        {"requests_running": 4, "requests_running_per_peer": 1},
        lambda stage: asked(stage, *[sleep()] * 8),
    ),
    "requests_waiting_per_peer": (
        {"requests_running": 4, "requests_running_per_peer": 1, "requests_waiting_per_peer": 1},
        lambda stage: asked(stage, *[sleep()] * 16),
    ),
    "requests_bytes_per_peer": (
        {"request_bytes": KIB, "requests_bytes_per_peer": KIB},
        lambda stage: asked(stage, *[sleep()] * 40),
    ),
    "request_longest_s": ({"request_longest_s": 1}, lambda stage: asked(stage, sleep(wait_for_complete=True))),
    "calls_in_threads": ({"calls_in_threads": 1}, a_blocking_call),
}
WAITS = (
    "inflight_write_bytes",
    "inflight_writes",
    "answers_under_way",
    "unread_answers_bytes",
    "requests_running",
    "requests_running_per_peer",
    "calls_in_threads",
)
"""What only makes the master wait: nothing is refused."""


@pytest.mark.parametrize("name", SENT)
def test_threat_14_a_limit_that_a_master_hits_is_counted_at_the_worker_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    given, scene = SENT[name]
    said: list[object] = []

    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster, SERVES).listen()
        worker = cluster.worker("worker1", {f"limits.{key}": value for key, value in given.items()})
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        said.append(await scene(Stage(cluster, worker, master.side)))
        hit = worker.status.snapshot().limits_hit
        assert hit.get(f"limits.{name}", 0) >= 1, hit
        await cluster.until(lambda: worker.status.snapshot().link.connected, within_s=400)

    with caplog.at_level(logging.DEBUG, "outrider"), slow_calls():
        simulate(tmp_path, story, link="base")
    if name not in WAITS:
        assert re.search(rf"limits\.{name}\b", f"{said} {caplog.text}")


# what a master unpacks in a worker's tree

TWO = {"tree/a": b"x" * 1000, "tree/b": os.urandom(1000)}
UNPACKED: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "unpacked_file_bytes": ({"unpacked_file_bytes": KIB}, {"tree/a": b"x" * 2000}),
    "unpacked_total_bytes": ({"unpacked_file_bytes": KIB, "unpacked_total_bytes": KIB}, TWO),
    "unpacked_ratio": (
        {"unpacked_file_bytes": MIB * 40},
        {"tree/zeros": bytes(40 * MIB), "tree/zeroes": bytes(40 * MIB)},
    ),
    "unpacked_files": ({"unpacked_files": 1}, TWO),
    "metadata_bytes": ({"metadata_bytes": KIB}, {f"tree/{number}": b"" for number in range(200)}),
}


@pytest.mark.parametrize("link", ["base", "any"])
@pytest.mark.parametrize("name", UNPACKED)
def test_threat_14_what_a_master_packs_too_much_in_is_counted_at_the_worker_named_and_not_applied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, link: str
) -> None:
    given, files = UNPACKED[name]

    async def story(cluster: Cluster) -> None:
        cluster.write("master", files)
        await cluster.master()
        worker = cluster.worker("worker1", {f"limits.{key}": value for key, value in given.items()})
        await asyncio.sleep(120)
        hit = worker.status.snapshot().limits_hit
        assert hit.get(f"limits.{name}", 0) >= 1, hit
        assert cluster.tree("worker1") == {}
        assert worker.status.snapshot().link.connected

    with caplog.at_level(logging.WARNING, "outrider"):
        simulate(tmp_path, story, link=link)
    assert re.search(rf"limits\.{name}\b", caplog.text)


BEYOND_A_MASTER = {
    *("handshake_deadline_s", "unknown_frame_bytes", "connections", "connections_per_address"),
    *("groups_waiting", "local_clients", "local_frame_bytes", "hook_items"),
}


def test_every_limit_is_a_row_or_beyond_a_master() -> None:
    assert {*SENT, *UNPACKED} | BEYOND_A_MASTER == set(Limits.__struct_fields__)
