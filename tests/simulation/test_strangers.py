"""Connections that are nobody's: silent, slow, in and out. A master bears them and lets its workers in."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.support.authority import authority_at, certify
from tests.support.cluster import MASTER, PORT, Cluster, simulate

from outrider.master import Master


class Stranger(asyncio.Protocol):
    """Says what it is told to, byte by byte, and notes when it is closed."""

    def __init__(self) -> None:
        self.closed_at: float | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed_at = asyncio.get_running_loop().time()


async def strangers(cluster: Cluster, count: int) -> list[Stranger]:
    host = cluster.fabric.host("10.9.9.9")
    they = [Stranger() for _ in range(count)]
    await asyncio.gather(*(host.dial(MASTER, PORT, lambda one=one: one) for one in they))  # type: ignore[misc]
    return they


def handlers(master: Master) -> int:
    return len(master._handlers)


def test_threat_02_a_thousand_silent_connections_end_at_the_deadline_and_a_worker_joins_meanwhile(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        they = await strangers(cluster, 1000)
        came = asyncio.get_running_loop().time()
        assert handlers(master) == 1000
        worker = cluster.worker()
        assert await cluster.until(lambda: worker.status.snapshot().link.connected, step_s=0.01) < 1
        await asyncio.sleep(30)
        ends = [one.closed_at or 0 for one in they]
        assert min(ends) - came > 19.9
        assert max(ends) - came < 21
        assert handlers(master) == 1
        assert master.status.snapshot().counters["connections_without_hello"] == 1000

    simulate(tmp_path, story)


def test_threat_03_a_byte_every_ten_seconds_does_not_move_the_deadline(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        (one,) = await strangers(cluster, 1)
        came = asyncio.get_running_loop().time()
        while one.closed_at is None:
            assert one.transport is not None
            one.transport.write(b"\0")
            await asyncio.sleep(10)
        assert 19.9 < one.closed_at - came < 21

    simulate(tmp_path, story)


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x01"], ids=["nothing", "a beginning of TLS"])
def test_threat_03_where_tls_comes_first_the_deadline_counts_from_accept_as_well(tmp_path: Path, says: bytes) -> None:
    async def story(cluster: Cluster) -> None:
        home = cluster.home("master")
        home.mkdir(parents=True)
        certify(authority_at(home), home, "master-node", "master")
        master = await cluster.master({"link.tls": "required"})
        (one,) = await strangers(cluster, 1)
        came = asyncio.get_running_loop().time()
        assert one.transport is not None
        one.transport.write(says)
        await asyncio.sleep(30)
        assert 19.9 < (one.closed_at or 0) - came < 21
        assert handlers(master) == 0

    simulate(tmp_path, story)


def test_threat_05_probes_that_connect_and_close_leave_a_count_and_no_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        caplog.clear()
        for _ in range(300):
            (one,) = await strangers(cluster, 1)
            assert one.transport is not None
            one.transport.close()
            await asyncio.sleep(2)
        assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
        assert master.status.snapshot().counters["connections_without_hello"] == 300
        assert handlers(master) == 0
        assert "clean up" not in [task.get_name() for task in master._supervisor._tasks]

    with caplog.at_level(logging.DEBUG, "outrider"):
        simulate(tmp_path, story)


def test_connections_over_the_limits_are_closed_and_counted(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master({"limits.connections": 50, "limits.connections_per_address": 10})
        they = await strangers(cluster, 15)
        await asyncio.sleep(1)
        assert sum(one.closed_at is None for one in they) == 10
        worker = cluster.worker()
        await cluster.until(lambda: worker.status.snapshot().link.connected, within_s=5)
        assert master.status.snapshot().limits_hit == {"limits.connections_per_address": 5}

    simulate(tmp_path, story)
