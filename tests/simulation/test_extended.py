"""Two nodes of ours find each other: probe, TLS, memory; and whoever is made to look like an old one is refused."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Side
from tests.support.cluster import MASTER, PORT, TREE, Cluster, simulate
from tests.support.peers import PlayedMaster, played_worker
from tests.support.trace import Said

from outrider.errors import ConnectionLostError, RefusedByPeer, TransportError
from outrider.master import Master
from outrider.protocol import commands as c
from outrider.protocol import generations
from outrider.protocol.abilities import TLS, Abilities, Range
from outrider.store.identity import identity_of
from outrider.store.peers import Peers
from outrider.transport.answers import Reply
from outrider.worker import Worker

AT = f"{MASTER}:{PORT}"
REFUSED = "peers_not_extended"


def joined(worker: Worker) -> bool:
    return worker.status.snapshot().link.connected


def counted(node: Worker | Master) -> int:
    return node.status.snapshot().counters.get(REFUSED, 0)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def extended(worker: Worker) -> bool:
    handler = worker._handler
    return handler is not None and handler.session.extended is not None


def said_by(cluster: Cluster, sender: str) -> list[Said]:
    answers = ("ok", "err", "ok-m", "ok-c")
    return [said for said in cluster.trace.said if said.sender.startswith(sender + ":") and said.name not in answers]


async def seen_extended(cluster: Cluster) -> tuple[Master, Worker]:
    """A master and a worker that have met, and remember it."""
    master = await cluster.master()
    worker = cluster.worker()
    await cluster.until(lambda: extended(worker) and bool(Peers(cluster.home("master")).all()))
    return master, worker


def test_two_nodes_extend_their_link_and_then_keep_in_step_as_ever(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master()
        worker = cluster.worker()
        await cluster.until(lambda: joined(worker) and cluster.in_step("worker1"))
        names = [said.name for said in said_by(cluster, cluster.address("worker1"))]
        assert names[:4] == ["hello", "outrider", "start_tls", "echo"]
        assert worker._handler is not None
        master_of = worker._handler.session.extended
        assert master_of is not None
        assert (master_of.node, master_of.protocol) == ("master-node", 1)
        assert master_of.features == {TLS, "generations", "identity", "keys"}
        (handler,) = master.roster.members()
        assert handler.session.extended is not None
        assert handler.session.extended.node == "worker1"
        assert [(one.type, one.name, one.address) for one in Peers(cluster.home("worker1")).all()] == [
            ("master", "master-node", AT)
        ]
        assert [(one.type, one.name) for one in Peers(cluster.home("master")).all()] == [("worker", "worker1")]

    simulate(tmp_path, story)


def test_an_old_master_hears_one_unknown_command_and_the_base_protocol_goes_on(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await PlayedMaster(cluster).listen()
        worker = cluster.worker()
        await cluster.until(lambda: joined(worker))
        await asyncio.sleep(300)
        heard = [said.name for said in said_by(cluster, cluster.address("worker1"))]
        assert heard[:2] == ["hello", "outrider"]
        assert not {"outrider", "start_tls"} & set(heard[2:])
        assert len(heard) > 5
        assert len(master.sides) == 1
        assert (extended(worker), counted(worker)) == (False, 0)
        assert Peers(cluster.home("worker1")).all() == []

    simulate(tmp_path, story)


def test_an_old_worker_is_served_as_ever(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        worker = await played_worker(cluster)
        assert await worker.channel.request(c.INTEGRITY_PERMISSION, b"", 20) in {b"True", b"False"}
        await asyncio.sleep(60)
        assert worker.channel.is_open
        assert counted(master) == 0
        assert "outrider" not in [said.name for said in said_by(cluster, MASTER)]

    simulate(tmp_path, story)


def test_an_answer_to_the_probe_that_never_comes_makes_nobody_an_old_peer(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        async def never(_: bytes) -> Reply:
            await asyncio.sleep(10**6)
            raise AssertionError

        master = await PlayedMaster(cluster, {c.PROBE: never}).listen()
        worker = cluster.worker()
        await asyncio.sleep(300)
        assert len(master.sides) > 3
        names = {said.name for said in said_by(cluster, cluster.address("worker1"))}
        assert names <= {"hello", "outrider"}
        assert not joined(worker)
        master.serves.pop(c.PROBE)  # the same master, and its answers come now
        await cluster.until(lambda: joined(worker))

    simulate(tmp_path, story)


def test_a_link_that_breaks_at_any_moment_of_the_introduction_is_made_anew(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.fabric.latency = 0.1
        await cluster.master()
        worker = cluster.worker()
        for step in range(1, 25):
            before = len(cluster.fabric.dialled)
            await cluster.until(lambda before=before: len(cluster.fabric.dialled) > before, step_s=0.001)  # type: ignore[misc]
            await asyncio.sleep(0.21 + 0.05 * step)
            cluster.fabric.cut(MASTER)
        assert await cluster.until(lambda: extended(worker)) < 60
        assert counted(worker) == 0

    simulate(tmp_path, story)


def neighbour(least: int, most: int, identity_home: Path, **more: Any) -> Callable[[bytes], Reply]:
    """A master of another version: what it says to the probe."""
    identity = identity_of(identity_home, b"n" * 32)
    says = Abilities(
        protocol=Range(least, most),
        version="9.9.9",
        node="master-node",
        features=(TLS, "teleport"),
        certificate=identity.certificate,
    )
    text = json.dumps({**json.loads(says.encode()), **more}).encode()
    return lambda _: Reply(text)


def test_threat_45_a_node_one_version_ahead_that_says_more_everywhere_gets_in_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What both nodes say of themselves and of generations has fields that neither knows; the worker speaks 1 and 2."""
    abilities, body = Abilities.encode, generations.encode

    def ahead(says: Abilities) -> bytes:
        more = json.loads(abilities(says))
        if says.node == "worker1":
            more["protocol"]["most"] += 1
        return json.dumps({**more, "weather": {"sky": ["blue"]}, "features": [*more["features"], "teleport"]}).encode()

    def longer(value: Any) -> bytes:
        packed = body(value)
        assert packed[0] & 0xF0 == 0x90, "an array of less than 16"
        return bytes([packed[0] + 1]) + packed[1:] + b"\x81\xa3sky\x91\xa4blue"

    monkeypatch.setattr(Abilities, "encode", ahead)
    monkeypatch.setattr(generations, "encode", longer)

    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master()
        worker = cluster.worker()
        await cluster.until(lambda: cluster.in_step("worker1"))
        assert worker._handler is not None
        assert worker._handler.session.extended is not None
        assert worker._handler.session.extended.protocol == 1
        for word in (b"one", b"two" * 100_000):
            cluster.write("master", {"tree/new": word})
            cluster.changed(master, "tree")
            await cluster.until(lambda: cluster.in_step("worker1"))
        assert worker.status.snapshot().link.reconnects == 0

    simulate(tmp_path, story)


@pytest.mark.parametrize(("least", "most", "together"), [(1, 2, True), (1, 1, True), (2, 3, False)])
def test_threat_45_versions_one_apart_work_together_and_others_stay_with_the_base_protocol(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, least: int, most: int, *, together: bool
) -> None:
    async def story(cluster: Cluster) -> None:
        probe = neighbour(least, most, tmp_path / "identity", weather={"sky": "blue"})
        turned: list[bytes] = []

        def start_tls(payload: bytes) -> Reply:
            turned.append(payload)
            return Reply(b"")  # a played master makes no TLS

        await PlayedMaster(cluster, {c.PROBE: probe, c.START_TLS: start_tls}).listen()
        worker = cluster.worker()
        await cluster.until(lambda: bool(turned) or joined(worker))
        assert bool(turned) is together
        assert joined(worker) is not together

    caplog.set_level(logging.INFO, "outrider")
    simulate(tmp_path, story)
    told = [
        record.getMessage() for record in caplog.records if "only the base protocol in common" in record.getMessage()
    ]
    assert bool(told) is not together
    for line in told:
        assert "version 9.9.9, protocols 2 to 3" in line
        assert "protocols 1 to 1" in line


def test_threat_10_a_master_that_was_seen_extended_and_answers_as_an_old_one_is_refused_until_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await seen_extended(cluster)
        await cluster.stop(master)
        old = await PlayedMaster(cluster).listen()
        await asyncio.sleep(1000)
        assert len(old.sides) in {3, 4}  # once, then every five minutes
        assert {said.name for said in said_by(cluster, cluster.address("worker1")) if said.time > 60} == {
            "hello",
            "outrider",
        }
        assert not joined(worker)
        assert counted(worker) == len(old.sides)
        (line,) = errors(caplog)
        assert "outrider peer forget master-node" in line
        assert line.endswith("trying again every 300 s")
        Peers(cluster.home("worker1")).forget("master-node")
        await cluster.until(lambda: joined(worker))

    simulate(tmp_path, story)


def test_threat_10_a_worker_that_was_seen_extended_and_comes_as_an_old_one_is_refused_until_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await seen_extended(cluster)
        await cluster.stop(worker)
        old = await played_worker(cluster)
        with pytest.raises(RefusedByPeer, match="outrider peer forget worker1"):
            await old.channel.request(c.INTEGRITY_PERMISSION, b"", 20)
        await old.channel.closed()
        silent = await played_worker(cluster)
        began = asyncio.get_running_loop().time()
        await silent.channel.closed()
        assert 19 < asyncio.get_running_loop().time() - began < 21
        assert counted(master) == 2
        assert all("worker1 was seen to speak the extended protocol" in line for line in errors(caplog))
        Peers(cluster.home("master")).forget("worker1")
        again = await played_worker(cluster)
        assert await again.channel.request(c.INTEGRITY_PERMISSION, b"", 20) in {b"True", b"False"}

    simulate(tmp_path, story)


def test_threat_10_a_probe_that_is_relabelled_on_its_way_downgrades_nobody(tmp_path: Path) -> None:
    """The header of a sealed frame is anybody's: the name of the probe becomes one that no master knows."""

    async def story(cluster: Cluster) -> None:
        _, worker = await seen_extended(cluster)
        stream = next(one for one in cluster.fabric.streams if one.here == cluster.address("worker1"))
        write = type(stream).write

        def relabel(self: Any, data: bytes) -> None:
            write(self, bytes(data).replace(b"outrider ---", b"outridex ---"))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(stream), "write", relabel)
            cluster.fabric.cut(MASTER)
            await cluster.until(lambda: counted(worker) == 1)
            await asyncio.sleep(200)
            assert not joined(worker)
        await cluster.until(lambda: extended(worker))

    simulate(tmp_path, story)


def test_a_setting_forces_the_base_protocol_at_either_end(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await seen_extended(cluster)
        plain = cluster.worker("worker2", {"link.require": "base"})
        await cluster.until(lambda: joined(plain))
        assert not extended(plain)
        assert "outrider" not in [said.name for said in said_by(cluster, cluster.address("worker2"))]
        assert not (cluster.home("worker2") / ".outrider/identity").exists()
        assert extended(worker)

    simulate(tmp_path / "1", story)

    async def other(cluster: Cluster) -> None:
        await cluster.master({"link.require": "base"})
        worker = cluster.worker()
        await cluster.until(lambda: joined(worker))
        assert not extended(worker)
        (answer,) = [said for said in cluster.trace.said if said.payload.startswith(b"unknown command")]
        assert answer.payload == b"unknown command 'b'outrider''"

    simulate(tmp_path / "2", other)


def test_a_setting_forces_the_extended_protocol_at_either_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    only = {"link.require": "extended"}

    async def story(cluster: Cluster) -> None:
        old = await PlayedMaster(cluster).listen()
        worker = cluster.worker(changes=only)
        await asyncio.sleep(400)
        assert len(old.sides) == 2
        assert (joined(worker), counted(worker)) == (False, 2)
        (line,) = errors(caplog)
        assert "must speak the extended protocol (link.require)" in line
        caplog.clear()

    simulate(tmp_path / "1", story)

    async def other(cluster: Cluster) -> None:
        master = await cluster.master(only)
        old = await played_worker(cluster)
        with pytest.raises(RefusedByPeer, match=r"must speak the extended protocol \(link.require\)"):
            await old.channel.request(c.INTEGRITY_PERMISSION, b"", 20)
        await old.channel.closed()
        assert counted(master) == 1
        ours = cluster.worker("worker2")
        await cluster.until(lambda: extended(ours))

    simulate(tmp_path / "2", other)


async def _probed(cluster: Cluster, certificate: str, *, node: str = "worker1") -> Side:
    worker = await played_worker(cluster)
    says = Abilities(protocol=Range(1, 1), version="1", node=node, features=(TLS,), certificate=certificate)
    await worker.channel.request(c.PROBE, says.encode(), 20)
    return worker


def test_threat_09_whoever_says_again_what_a_worker_said_stands_before_tls_and_gets_no_further(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        _, worker = await seen_extended(cluster)
        (probe,) = cluster.trace.of("outrider")
        await cluster.stop(worker)
        replayed = await _probed(cluster, json.loads(probe.payload)["certificate"])
        await replayed.channel.request(c.START_TLS, b"", 20)
        await replayed.channel.closed()
        assert replayed.requests == []
        again = cluster.worker()
        await cluster.until(lambda: extended(again))

    simulate(tmp_path, story)


def test_start_tls_without_an_agreement_is_refused_and_the_link_goes_on(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        worker = await played_worker(cluster)
        with pytest.raises(RefusedByPeer, match="start_tls comes once, after a probe"):
            await worker.channel.request(c.START_TLS, b"", 20)
        assert worker.channel.is_open

    simulate(tmp_path, story)


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff" * 100, b"[" * 10_000])
def test_a_probe_that_is_none_is_answered_with_an_error(tmp_path: Path, payload: bytes) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        worker = await played_worker(cluster)
        with pytest.raises(RefusedByPeer):
            await worker.channel.request(c.PROBE, payload, 20)
        assert worker.channel.is_open

    simulate(tmp_path, story)


def test_threat_15_a_probe_in_another_s_name_is_refused(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master()
        with pytest.raises(RefusedByPeer, match="names another node than hello did"):
            await _probed(cluster, "PEM", node="worker9")

    simulate(tmp_path, story)


def test_threat_10_a_master_that_shows_our_own_certificate_is_a_mirror(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await PlayedMaster(cluster, {c.PROBE: Reply}).listen()
        worker = cluster.worker()
        await asyncio.sleep(20)
        assert not joined(worker)
        names = {said.name for said in said_by(cluster, cluster.address("worker1"))}
        assert names == {"hello", "outrider"}

    simulate(tmp_path, story)


def test_another_certificate_of_a_master_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster) -> None:
        master, worker = await seen_extended(cluster)
        await cluster.stop(master)
        (cluster.home("master") / ".outrider/identity/node.pem").unlink()
        cluster.seed = 99
        await cluster.until(lambda: not extended(worker))
        await cluster.master()
        await cluster.until(lambda: extended(worker))
        await asyncio.sleep(1)

    simulate(tmp_path, story)
    assert any("master-node shows another certificate than before" in record.getMessage() for record in caplog.records)


def test_a_peer_that_never_begins_tls_is_closed_at_the_handshake_deadline(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.master({"limits.handshake_deadline_s": 7})
        certificate = identity_of(tmp_path / "other", b"o" * 32).certificate
        worker = await _probed(cluster, certificate)
        await worker.channel.request(c.START_TLS, b"", 20)
        began = asyncio.get_running_loop().time()
        with pytest.raises((ConnectionLostError, TransportError)):
            await worker.channel.request(c.ECHO, b"", 100)
        await worker.channel.closed()
        assert 6 < asyncio.get_running_loop().time() - began < 8

    simulate(tmp_path, story)
