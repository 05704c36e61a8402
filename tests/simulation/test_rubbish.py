"""Whole nodes that hear what nobody meant: frames of chance, cut, flipped; commands in any order with any body.

What the parsers do with it is `tests/property` and the fuzzing's; here is what the node around them does.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.channels import Side
from tests.support.cluster import KEY, MASTER, PORT, TREE, Cluster, simulate
from tests.support.loop import EPOCH
from tests.support.peers import PlayedMaster, played_worker

from outrider.errors import OutriderError, RefusedByPeer
from outrider.protocol import commands as c
from outrider.protocol.commands import Command, To
from outrider.protocol.frame import pack_frame
from outrider.protocol.seal import KeyRing

OFTEN: dict[str, Any] = {"intervals.worker.sync_integrity": 10, "intervals.worker.connection_retry": 1}
HEARD = {role: [command for command in c.TABLE.values() if role in command.to] for role in (To.MASTER, To.WORKER)}
BODIES = [
    b"",
    b"\xff" * 40,
    b"-1",
    b"99999999999999999999",
    b"[" * 20_000,
    b"1 " + b"[" * 20_000,
    b"\x91" * 20_000,
    b'{"a":' * 20_000,
    b"{}",
    b"../../x 1",
    b"None {}",
    b"\x93\x01\x02\x03",
    b"%d " % (2**64),
]


class Stranger(asyncio.Protocol):
    """Says it all at once, and notes that it is closed."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.says)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed = True


def spoiled(chance: Random) -> bytes:
    """What begins like a session under the right key, and does not go on like one."""
    ring = KeyRing([KEY.encode()])
    bodies = [b"mallory wazuh worker 4.9.2", *chance.sample(BODIES, 3)]
    commands = [c.HELLO, *chance.sample(HEARD[To.MASTER], 3)]
    frames = [
        pack_frame(chance.randrange(2**32), command.name, ring.seal(body, EPOCH) if chance.random() < 0.8 else body)
        for command, body in zip(commands, bodies, strict=True)
    ]
    data = bytearray(b"".join(frames))
    for _ in range(chance.randrange(1, 5)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data[: chance.randrange(1, len(data) + 1)]) if chance.random() < 0.8 else chance.randbytes(400)


def clean(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether no record carries a traceback."""
    return not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("seed", range(3))
def test_threat_06_strangers_that_send_frames_of_chance_are_closed_each_with_one_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    chance = Random(seed)

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        cluster.fabric._taps.clear()  # the trace reads what is said, and these say nothing
        master = await cluster.master()
        strangers = [Stranger(spoiled(chance)) for _ in range(100)]
        for number, stranger in enumerate(strangers):
            await cluster.fabric.host(f"10.9.0.{number}").dial(MASTER, PORT, lambda one=stranger: one)  # type: ignore[misc]
        await asyncio.sleep(400)
        assert all(stranger.closed for stranger in strangers)
        assert len(master._handlers) == len(master.roster) == 0
        cluster.worker("worker1", OFTEN)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)

    with caplog.at_level(logging.DEBUG, "outrider"):
        simulate(tmp_path, story)
    assert clean(caplog)
    lines = [one.getMessage() for one in caplog.records]
    for number in range(100):
        ends = [line for line in lines if f"connection from 10.9.0.{number} ended before hello: " in line]
        assert len(ends) <= 1, ends
    assert sum("ended before hello: " in line for line in lines) > 50


async def say(side: Side, command: Command, body: bytes) -> str:
    """One request; what came of it. A link that this ended is told by its class."""
    try:
        await side.channel.request(command, body, 20)
    except RefusedByPeer as refused:
        return str(refused)
    except OutriderError as error:
        return type(error).__name__
    return "taken"


@pytest.mark.parametrize("seed", range(3))
def test_threat_06_and_20_a_worker_that_says_any_command_in_any_order_with_any_body_harms_no_master(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    chance = Random(seed)

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master()
        cluster.worker("worker1", OFTEN)
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=60)
        sequence = [(command, body) for command in HEARD[To.MASTER] for body in BODIES]
        chance.shuffle(sequence)
        bad = await played_worker(cluster, "bad")
        for command, body in sequence:
            if not bad.channel.is_open:
                await asyncio.sleep(1)
                bad = await played_worker(cluster, "bad")
            await say(bad, command, body)
        bad.channel.close("enough")
        await asyncio.sleep(200)
        assert [member.info.name for member in master.roster.members()] == ["worker1"]
        assert cluster.tree("master") == TREE
        assert cluster.transfers("master") == []
        cluster.write("master", {"tree/new": b"new"})
        cluster.changed(master, "tree")
        await cluster.until(lambda: cluster.in_step("worker1"), within_s=400)

    with caplog.at_level(logging.INFO, "outrider"):
        simulate(tmp_path, story)
    assert clean(caplog)


@pytest.mark.parametrize("seed", range(3))
def test_threat_06_and_20_a_master_that_says_any_command_in_any_order_with_any_body_harms_no_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    chance = Random(seed)

    async def story(cluster: Cluster) -> None:
        cluster.write("worker1", TREE)
        bad = await PlayedMaster(cluster).listen()
        worker = cluster.worker("worker1", OFTEN)
        await cluster.until(lambda: worker.status.snapshot().link.connected)
        sequence = [(command, body) for command in HEARD[To.WORKER] for body in BODIES]
        chance.shuffle(sequence)
        for command, body in sequence:
            if not bad.side.channel.is_open:
                links = len(bad.sides)
                await cluster.until(lambda links=links: len(bad.sides) > links, within_s=400)  # type: ignore[misc]
            await say(bad.side, command, body)
        assert cluster.tree("worker1") == TREE
        await cluster.until(lambda: worker.status.snapshot().link.connected, within_s=400)

    with caplog.at_level(logging.INFO, "outrider"):
        simulate(tmp_path, story, link="base")
    assert clean(caplog)
