"""Every limit of the settings is hit once by a peer: it is counted under its key, and what is said names the key.

The table is complete: a limit that has no row here fails a test. Limits that only make somebody wait say nothing; they
are counted all the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.channels import Side, say
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.peers import played_worker, send_file
from tests.support.ports import simulated_ports
from tests.support.requests import ask, slow_calls

from outrider._native import diff
from outrider.errors import OutriderError, PeerError
from outrider.hooks import Hooks
from outrider.master import Master
from outrider.protocol import commands as c
from outrider.protocol.abilities import PROTOCOL, TLS, Abilities
from outrider.protocol.bodies import TransferPath
from outrider.protocol.frame import HEADER, pack_frame
from outrider.protocol.seal import NoSeal
from outrider.settings import Limits, Live, Settings
from outrider.store.identity import identity_of
from outrider.store.tree import FileTree

KIB, MIB = 1024, 1024 * 1024
LARGEST = 6_990_624
"""The least that a frame of a known peer may be allowed: what an old peer sends."""


class Stage(NamedTuple):
    """A master with the limit, and the cluster around it."""

    cluster: Cluster
    master: Master


Scene = Callable[[Stage], Awaitable[object]]


async def refused(*asking: Awaitable[object]) -> str:
    """What the requests that were refused are told; one at least must be."""
    told = [str(one) for one in await asyncio.gather(*asking, return_exceptions=True) if isinstance(one, OutriderError)]
    assert told, "nothing was refused"
    return "\n".join(told)


# before hello


async def silent(stage: Stage) -> None:
    await played_worker(stage.cluster, hello=False)
    await asyncio.sleep(2)


async def large_before_hello(stage: Stage) -> str:
    side = await played_worker(stage.cluster, hello=False)
    return await refused(side.channel.request(c.HELLO, b"x" * 4000, 20))


async def two_connections(stage: Stage) -> None:
    for name in ("worker1", "worker2"):
        await played_worker(stage.cluster, name, hello=False)
    await asyncio.sleep(1)


async def two_of_one_address(stage: Stage) -> None:
    for _ in range(2):
        await played_worker(stage.cluster, "worker1", hello=False)
    await asyncio.sleep(1)


# frames


async def raw(side: Side, data: bytes) -> None:
    """Write these bytes, whatever they are; it must be the end of the connection."""
    stream = side.channel.stream
    assert stream is not None
    stream.write(data)
    async with asyncio.timeout(60):
        await side.channel.closed()


async def large_frame(stage: Stage) -> None:
    side = await played_worker(stage.cluster)
    await raw(side, HEADER.pack(7, LARGEST + 1, b"echo -------"))


async def large_message(stage: Stage) -> None:
    side = await played_worker(stage.cluster)
    await raw(side, pack_frame(7, b"echo", b"x" * 4_000_000, b"d") * 2)


async def open_messages(stage: Stage) -> None:
    side = await played_worker(stage.cluster)
    await raw(side, pack_frame(7, b"echo", b"x", b"d") + pack_frame(8, b"echo", b"x", b"d"))


# transfers


async def two_files(stage: Stage) -> str:
    side = await played_worker(stage.cluster)
    await send_file(side, "worker1", b"1", whole=False)
    return await refused(send_file(side, "worker1", b"22", whole=False))


async def large_file(stage: Stage) -> str:
    side = await played_worker(stage.cluster)
    return await refused(send_file(side, "worker1", b"x" * 2000))


async def more_than_the_disk_takes(stage: Stage) -> None:
    side = await played_worker(stage.cluster)
    stage.cluster.slow_threads(stage.master, 5)
    await send_file(side, "worker1", b"x" * 100_000)


async def more_requests_than_the_disk_takes(stage: Stage) -> None:
    side = await played_worker(stage.cluster)
    stage.cluster.slow_threads(stage.master, 1)
    path = TransferPath("worker1", "worker1-1700000000.5-0.zip")
    await side.channel.request(c.NEW_FILE, path.rooted, 20)
    await asyncio.gather(*(side.channel.request(c.FILE_UPD, path.rooted + b" ", 20) for _ in range(5)))


async def two_strings(stage: Stage) -> str:
    side = await played_worker(stage.cluster)
    return await refused(*(side.channel.request(c.NEW_STR, b"10", 20) for _ in range(2)))


async def large_string(stage: Stage) -> str:
    side = await played_worker(stage.cluster)
    return await refused(side.channel.request(c.NEW_STR, b"5000", 20))


async def many_bytes_of_strings(stage: Stage) -> str:
    side = await played_worker(stage.cluster)
    names = [await side.channel.request(c.NEW_STR, b"1000", 20) for _ in range(2)]
    return await refused(*(side.channel.request(c.STR_UPD, name + b" " + b"x" * 1000, 20) for name in names))


async def one_that_is_worked_on(stage: Stage) -> None:
    await send_file(await played_worker(stage.cluster), "worker1", b"1")


async def answers_that_nobody_reads(stage: Stage) -> None:
    side = await played_worker(stage.cluster)
    side.channel.hold("it does not read")
    asking = [side.channel.request(c.ECHO, b"x" * 500_000, 20) for _ in range(10)]
    await asyncio.sleep(10)
    assert not any(one.done() for one in asking), "what was said"
    side.channel.release("it does not read")
    assert {len(answer) for answer in await asyncio.gather(*asking)} == {500_000}


async def groups_for_a_slow_worker(stage: Stage) -> None:
    serves = {c.NEW_STR: say(b"1"), c.STR_UPD: say(b""), c.GROUPS: lambda _: asyncio.Future()}
    await played_worker(stage.cluster, serves=serves)
    await asyncio.sleep(60)


async def two_tasks(stage: Stage) -> str:
    side = await played_worker(stage.cluster)
    return await refused(*(side.channel.request(c.INTEGRITY_CHECK, b"", 20) for _ in range(2)))


# requests


async def asked(stage: Stage, *requests: bytes, client: str = "a program") -> str:
    """Ask the master all of these at once; what it answers."""
    answers = await asyncio.gather(*(stage.master.routes.ask(client, request) for request in requests))
    return "\n".join(answer.body.decode() for answer in answers)


def sleep(seconds: float = 5, **fields: Any) -> bytes:
    return ask("test.sleep", {"seconds": seconds}, request_type="local_any", **fields)


async def several_callers(stage: Stage) -> None:
    await asyncio.gather(*(asked(stage, sleep(), client=f"program {number}") for number in range(2)))


async def deep(stage: Stage) -> str:
    return await asked(stage, ask("outrider.ping", {"text": [[[[]]]]}))


async def a_blocking_call(stage: Stage) -> None:
    stage.cluster.slow_threads(stage.master, 1)
    await asked(stage, *[ask("test.plain", request_type="local_any")] * 2)


# the local socket


async def program(stage: Stage) -> Side:
    ports = simulated_ports(stage.cluster.fabric, MASTER)
    side = Side(ports, {}, NoSeal(), None)
    settings = stage.master.settings
    await ports.network.dial_local(settings.node.home.resolve() / settings.local.socket, lambda: side.channel)
    side.channel.connection.known()
    return side


async def two_programs(stage: Stage) -> None:
    for _ in range(2):
        await program(stage)
    await asyncio.sleep(1)


async def a_large_frame_of_a_program(stage: Stage) -> None:
    side = await program(stage)
    await raw(side, HEADER.pack(7, 2 * MIB, b"echo -------"))


# what is unpacked


async def unpacked(stage: Stage, files: dict[str, bytes]) -> str:
    """A container of a master with these files, taken by a node with the limit."""
    cluster = stage.cluster
    for name, content in files.items():
        (cluster.home("source") / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (cluster.home("source") / "tree" / name).write_bytes(content)
    threads = stage.master._ports.threads
    source = FileTree(Live(cluster.settings("source")), threads)
    limits = {f"limits.{name}": getattr(stage.master.settings.limits, name) for name in Limits.__struct_fields__}
    target = FileTree(Live(cluster.settings("target", limits)), threads, stage.master.status.limit_hit)
    (cluster.home("target") / ".outrider").mkdir(exist_ok=True)
    plan = diff((await source.scan()).manifest, (await target.scan()).manifest, source.table)
    packer = await source.pack(plan, 1 << 30)
    container = cluster.folder / "container"
    container.write_bytes(b"".join(iter(lambda: packer.read(1 << 20), b"")))
    with pytest.raises(PeerError) as caught:
        await target.apply(container)
    assert cluster.tree("target") == {}
    return str(caught.value)


TWO = {"a": b"x" * 1000, "b": os.urandom(1000)}

TABLE: dict[str, tuple[dict[str, Any], Scene]] = {
    "handshake_deadline_s": ({"handshake_deadline_s": 1}, silent),
    "unknown_frame_bytes": ({"unknown_frame_bytes": KIB}, large_before_hello),
    "frame_bytes": ({"frame_bytes": LARGEST}, large_frame),
    "message_bytes": ({"message_bytes": LARGEST}, large_message),
    "open_messages": ({"open_messages": 1}, open_messages),
    "open_files": ({"open_files": 1}, two_files),
    "file_bytes": ({"file_bytes": KIB}, large_file),
    "open_strings": ({"open_strings": 1}, two_strings),
    "string_bytes": ({"string_bytes": KIB}, large_string),
    "strings_total": ({"string_bytes": KIB, "strings_total": KIB}, many_bytes_of_strings),
    "answers_under_way": ({"answers_under_way": 1}, one_that_is_worked_on),
    "unread_answers_bytes": ({"unread_answers_bytes": MIB}, answers_that_nobody_reads),
    "groups_waiting": ({"groups_waiting": 1}, groups_for_a_slow_worker),
    "tasks": ({"tasks": 1}, two_tasks),
    "connections": ({"connections": 1, "connections_per_address": 1}, two_connections),
    "connections_per_address": ({"connections_per_address": 1}, two_of_one_address),
    "inflight_write_bytes": ({"inflight_write_bytes": 64 * KIB}, more_than_the_disk_takes),
    "inflight_writes": ({"inflight_writes": 2}, more_requests_than_the_disk_takes),
    "unpacked_file_bytes": ({"unpacked_file_bytes": KIB}, lambda stage: unpacked(stage, {"a": b"x" * 2000})),
    "unpacked_total_bytes": (
        {"unpacked_file_bytes": KIB, "unpacked_total_bytes": KIB},
        lambda stage: unpacked(stage, TWO),
    ),
    "unpacked_ratio": (
        {"unpacked_file_bytes": MIB * 40},
        lambda stage: unpacked(stage, {"zeros": bytes(40 * MIB), "zeroes": bytes(40 * MIB)}),
    ),
    "unpacked_files": ({"unpacked_files": 1}, lambda stage: unpacked(stage, TWO)),
    "metadata_bytes": (
        {"metadata_bytes": KIB},
        lambda stage: unpacked(stage, {f"{number}": b"" for number in range(20)}),
    ),
    "json_depth": ({"json_depth": 3}, deep),
    "request_bytes": ({"request_bytes": KIB}, lambda stage: asked(stage, ask("outrider.ping", {"text": "x" * 2000}))),
    "result_bytes": (
        {"result_bytes": KIB},
        lambda stage: asked(stage, ask("test.large", {"size": 2000}, request_type="local_any")),
    ),
    "requests_running": ({"requests_running": 1, "requests_running_per_peer": 1}, several_callers),
    "requests_running_per_peer": ({"requests_running_per_peer": 1}, lambda stage: asked(stage, sleep(), sleep())),
    "requests_waiting_per_peer": (
        {"requests_running_per_peer": 1, "requests_waiting_per_peer": 1},
        lambda stage: asked(stage, sleep(), sleep(), sleep()),
    ),
    "requests_bytes_per_peer": (
        {"request_bytes": KIB, "requests_bytes_per_peer": KIB},
        lambda stage: asked(stage, *[sleep()] * 4),
    ),
    "request_longest_s": (
        {"request_longest_s": 1},
        lambda stage: asked(stage, sleep(wait_for_complete=True)),
    ),
    "local_clients": ({"local_clients": 1}, two_programs),
    "local_frame_bytes": ({"local_frame_bytes": MIB}, a_large_frame_of_a_program),
    "calls_in_threads": ({"calls_in_threads": 1}, a_blocking_call),
    "hook_items": ({"hook_items": 1}, lambda stage: asked(stage, *[ask("outrider.ping")] * 3)),
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
"""What only makes somebody wait: nothing is refused."""


@pytest.mark.parametrize("name", TABLE)
def test_each_limit_is_hit_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    given, scene = TABLE[name]
    said: list[object] = []

    async def story(cluster: Cluster) -> None:
        tight = {f"limits.{key}": value for key, value in given.items()}
        master = await cluster.master(tight, hooks=slow_host(name), agents=MemoryAgents())
        said.append(await scene(Stage(cluster, master)))
        hit = master.status.snapshot().limits_hit
        assert hit.get(f"limits.{name}", 0) >= 1, hit

    with caplog.at_level(logging.DEBUG, "outrider"), slow_calls():
        simulate(tmp_path, story, link="base")
    if name not in WAITS:
        assert re.search(rf"limits\.{name}\b", f"{said} {caplog.text}")


@pytest.mark.parametrize("name", TABLE)
def test_threat_48_a_limit_that_is_changed_while_the_node_runs_is_what_is_enforced_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The same, at a master that began with room for everybody, and has seen a worker under those limits."""
    given, scene = TABLE[name]
    said: list[object] = []

    async def story(cluster: Cluster) -> None:
        master = await cluster.master(hooks=slow_host(name))
        before = await played_worker(cluster, "earlier")
        tight = cluster.settings("master", {f"limits.{key}": value for key, value in given.items()})
        reloaded = await master.reload(tight)
        assert ([change.key for change in reloaded.changed], reloaded.waiting) == (changed(given), ())
        if not name.startswith("connections"):  # one that is here already counts
            assert before.channel.is_open
            before.channel.close("it has seen enough")
            await asyncio.sleep(1)
        said.append(await scene(Stage(cluster, master)))
        hit = master.status.snapshot().limits_hit
        assert hit.get(f"limits.{name}", 0) >= 1, hit

    with caplog.at_level(logging.DEBUG, "outrider"), slow_calls():
        simulate(tmp_path, story, link="base")
    if name not in WAITS:
        assert re.search(rf"limits\.{name}\b", f"{said} {caplog.text}")


def test_threat_27_a_report_of_a_worker_that_unpacks_to_too_much_is_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("worker1", {f"tree/{number}": b"its own" for number in range(200)})
        master = await cluster.master({"limits.metadata_bytes": KIB})
        worker = cluster.worker("worker1")
        await asyncio.sleep(60)
        assert master.status.snapshot().limits_hit["limits.metadata_bytes"] >= 1
        assert worker.status.snapshot().link.connected

    with caplog.at_level(logging.WARNING):
        simulate(tmp_path, story)
    told = "the unpacked manifest is over the limit of 1024 (limits.metadata_bytes)"
    assert [line for line in caplog.messages if line.startswith("Integrity check failed") and told in line]


def test_threat_02_who_turns_to_tls_and_then_says_nothing_is_counted_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master({"limits.handshake_deadline_s": 3})
        side = await played_worker(cluster)
        identity = identity_of(cluster.folder / "thief", b"s" * 32)
        probe = Abilities(
            protocol=PROTOCOL, version="1", node="worker1", features=(TLS,), certificate=identity.certificate
        )
        await side.channel.request(c.PROBE, probe.encode(), 20)
        await side.channel.request(c.START_TLS, b"", 20)
        async with asyncio.timeout(60):
            await side.channel.closed()
        assert master.status.snapshot().limits_hit == {"limits.handshake_deadline_s": 1}

    with caplog.at_level(logging.INFO):
        simulate(tmp_path, story)
    assert "it did not finish the TLS handshake in time (limits.handshake_deadline_s)" in caplog.text


def slow_host(name: str) -> Hooks | None:
    """A host that never gets further than its first event, where that is the limit."""
    return Hooks(on_request=lambda _: asyncio.Event().wait()) if name == "hook_items" else None


def changed(given: Mapping[str, Any]) -> list[str]:
    """The keys that are set to what they are not by themselves, in the order of the settings."""
    defaults = Settings.from_mapping({}).limits
    return [
        f"limits.{key}"
        for key in Limits.__struct_fields__
        if given.get(key, getattr(defaults, key)) != getattr(defaults, key)
    ]


def test_the_table_has_a_row_for_every_limit() -> None:
    assert set(TABLE) == set(Limits.__struct_fields__)


def test_by_itself_each_limit_leaves_room_for_what_an_old_peer_sends() -> None:
    limits = Settings.from_mapping({}).limits
    assert limits.frame_bytes >= LARGEST
