"""A cluster with an authority: who is let in, who is cut off, who takes over, and how certificates get new."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.authority import authority_at, certify
from tests.support.channels import Side, say
from tests.support.cluster import KEY, MASTER, PORT, TREE, Cluster, simulate
from tests.support.loop import EPOCH
from tests.support.peers import played_worker
from tests.support.ports import simulated_ports

from outrider.errors import PeerError, RefusedByPeer, SettingsError, StoreError, TransportError
from outrider.exchange.joining import join
from outrider.logs import Tag
from outrider.master import Master
from outrider.ports import Authorities, Identity, Tls
from outrider.protocol import commands as c
from outrider.protocol.abilities import PROTOCOL, TLS, Abilities
from outrider.protocol.certificates import Trust, make_request
from outrider.protocol.frame import pack_frame
from outrider.protocol.joining import Join, Renewal, Token, Trusted, encode
from outrider.protocol.seal import KeyRing, NoSeal
from outrider.settings.key_file import read_plain
from outrider.store.authority import Authority
from outrider.store.identity import NODE, TRUST, identity_of, install, install_trust
from outrider.store.peers import Peers
from outrider.transport.turning import Opening, Turn
from outrider.worker import Worker

DAY_S = 86_400.0
LINK = "the link to the master"
ONLY_TLS = {"link.tls": "required"}
Story = Callable[[Cluster, Authority], Coroutine[Any, Any, None]]


def tell(folder: Path, story: Story, seed: int = 1, *, link: str = "any") -> Cluster:
    """Run a story of a cluster whose master holds an authority, and has its own certificate."""

    async def whole(cluster: Cluster) -> None:
        home = cluster.home("master")
        home.mkdir(parents=True)
        authority = authority_at(home)
        certify(authority, home, "master-node", "master")
        await story(cluster, authority)

    return simulate(folder, whole, seed, link=link)


def joined(worker: Worker) -> bool:
    return worker.status.snapshot().link.connected


def vouched(worker: Worker) -> bool:
    handler = worker._handler
    return handler is not None and handler.session.extended is not None and handler.session.extended.vouched


def counted(node: Worker | Master, name: str) -> int:
    return node.status.snapshot().counters.get(name, 0)


def said(caplog: pytest.LogCaptureFixture, node: str, text: str) -> int:
    """In how many lines of a node a text stands."""
    return sum(getattr(one, "node", "") == node and text in one.getMessage() for one in caplog.records)


async def fails(cluster: Cluster, name: str, changes: dict[str, Any], why: str) -> None:
    """A worker that does not start."""
    worker = cluster.worker(name, changes)
    await asyncio.sleep(1)
    with pytest.raises(SettingsError, match=why):
        await cluster.stop(worker)


def serial(cluster: Cluster, name: str) -> str:
    """The serial number of the certificate that a home holds."""
    trust = Trust((cluster.home("master") / ".outrider/ca/trust.pem").read_text())
    held = trust.holder((cluster.home(name) / NODE).read_bytes())
    assert held is not None
    return held.serial


async def opened_with_tls(cluster: Cluster, home: Path) -> Side:
    """Somebody who has what lies at ``home``, and TLS with the master; the rest he says by hand."""
    side = Side(simulated_ports(cluster.fabric, "10.0.9.9"), {}, NoSeal(), None)
    identity = Identity(identity_of(home, b"").certificate, home / NODE)
    side.channel.opening = Opening(Turn(Tls(False, identity, Authorities(home / TRUST), 20), lambda: None))
    await side.channel._ports.network.dial(MASTER, PORT, lambda: side.channel)
    await side.channel.turned()
    return side


@pytest.mark.parametrize("tls", ["ca", "required"])
def test_a_worker_with_a_certificate_is_vouched_for(tmp_path: Path, tls: str) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        cluster.write("master", TREE)
        certify(authority, cluster.home("worker1"), "worker1")
        await cluster.master({"link.tls": tls})
        worker = cluster.worker("worker1", {"link.tls": tls})
        await cluster.until(lambda: vouched(worker) and cluster.in_step("worker1"))
        assert ("start_tls" in {one.name for one in cluster.trace.said}) is (tls == "ca")
        assert [peer.proof for peer in Peers(cluster.home("worker1")).all()] == ["ca"]
        certificate = worker.status.snapshot().certificate
        assert certificate is not None
        assert certificate.until == EPOCH + 365 * DAY_S

    tell(tmp_path, story)


def test_where_tls_comes_first_no_cluster_key_is_needed(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        cluster.write("master", TREE)
        certify(authority, cluster.home("worker1"), "worker1")
        alone = {**ONLY_TLS, "link.key": None}
        master = await cluster.master(alone)
        worker = cluster.worker("worker1", alone)
        await cluster.until(lambda: vouched(worker) and cluster.in_step("worker1"))
        assert master.settings.link.keys == worker.settings.link.keys == []
        with pytest.raises(SettingsError, match=r"link.key: a worker needs the cluster key"):
            cluster.worker("worker2", {"link.key": None})
        # A master that has lost its certificate while it ran takes nothing, rather than something in clear.
        (cluster.home("master") / NODE).write_bytes((cluster.home("worker1") / NODE).read_bytes())
        (cluster.home("master") / ".outrider/ca/trust.pem").write_text(
            authority_at(cluster.folder / "elsewhere", seed=2).trust().text
        )
        await cluster.until(lambda: not joined(worker))
        assert master.status.snapshot().certificate is None  # nothing is shown that is not so any more
        side = Side(simulated_ports(cluster.fabric, "10.0.9.9"), {}, NoSeal(), None)
        await side.channel._ports.network.dial(MASTER, PORT, lambda: side.channel)
        with pytest.raises(TransportError):
            await side.channel.request(c.HELLO, b"worker3 wazuh worker 4.9.2", 20)
        assert master.roster.members() == []

    tell(tmp_path, story)


def test_each_link_is_called_what_it_is_at_both_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        await cluster.master({"link.tls": "any"})
        nodes = [
            cluster.worker("worker1"),
            cluster.worker("worker2"),
            cluster.worker("worker3", {"link.require": "base"}),
        ]
        await cluster.until(lambda: all(map(joined, nodes)))
        await asyncio.sleep(300)

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)
    by_authority, by_key = "vouched for by the cluster's authority", "vouched for by the cluster key"
    assert said(caplog, "worker1", by_authority) == said(caplog, "master-node", by_authority) == 1
    assert said(caplog, "worker2", by_key) == said(caplog, "master-node", by_key) == 1
    assert said(caplog, "master-node", "worker3: base link, sealed with the cluster key alone") == 1
    assert said(caplog, "worker3", "base link, sealed with the cluster key alone") == 1


def test_a_master_that_has_an_authority_still_takes_tls_from_the_first_byte_beside_old_workers(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        await cluster.master()
        modern, old = cluster.worker("worker1", ONLY_TLS), cluster.worker("worker2", {"link.require": "base"})
        await cluster.until(lambda: vouched(modern) and joined(old))

    tell(tmp_path, story)


def test_threat_08_without_a_certificate_nobody_comes_in_where_the_authority_must_vouch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        del authority
        master = await cluster.master({"link.require": "extended"})
        worker = cluster.worker()
        await cluster.until(lambda: said(caplog, "master-node", "of no authority that this node trusts") > 0)
        assert not vouched(worker)
        await cluster.stop(worker)
        await cluster.stop(master)
        await cluster.master({"link.tls": "any"})
        again = cluster.worker()
        await cluster.until(lambda: joined(again))
        assert not vouched(again)

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_08_a_certificate_of_another_authority_is_refused_on_both_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        del authority
        other = authority_at(cluster.folder / "elsewhere", seed=2)
        certify(other, cluster.home("worker1"), "worker1")
        (cluster.home("worker1") / TRUST).write_text((cluster.home("master") / ".outrider/ca/trust.pem").read_text())
        master = await cluster.master()
        certify(other, cluster.home("worker2"), "worker2")
        cluster.worker("worker2", ONLY_TLS)
        await cluster.until(lambda: said(caplog, "worker2", "this node refuses the peer's TLS") > 0)
        assert said(caplog, "worker2", "of no authority that this node trusts") > 0
        await cluster.until(lambda: counted(master, "tls_refused") > 1)
        assert (
            said(caplog, "master-node", "came to nothing: the peer closed the connection as TLS began") == 1
        )  # seldom
        await fails(cluster, "worker1", ONLY_TLS, "link.tls = required: this node has no certificate of an authority")

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


@pytest.mark.parametrize(
    ("start", "days", "reason"),
    [
        (EPOCH - 10 * DAY_S, 9.0, "its certificate has expired on 2023-11-13"),
        (EPOCH + DAY_S, 9.0, "its certificate is not valid before 2023-11-15"),
    ],
)
def test_threat_08_dates_are_checked_and_the_log_of_both_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, start: float, days: float, reason: str
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1", now=start, days=days)
        master = await cluster.master(ONLY_TLS)
        worker = cluster.worker("worker1", ONLY_TLS)
        await cluster.until(lambda: counted(master, "tls_refused") > 1)
        assert not joined(worker)
        shown = worker.status.snapshot().retries[LINK]
        clock = "not valid before" in reason  # it may be set at any moment; what has expired waits for a person
        assert shown.nature == ("temporary" if clock else "permanent")
        assert said(caplog, "master-node", reason) == (1 if clock else 2)  # once a minute
        assert said(caplog, "worker1", f"of this node: {reason}") > 0

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_08_and_15_a_name_that_is_not_the_certificate_s_is_refused_on_both_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        certify(authority, cluster.home("worker2"), "worker2")
        master = await cluster.master()
        right = cluster.worker("worker1", ONLY_TLS)
        await cluster.until(lambda: vouched(right))
        other = "this node is the worker worker1, its certificate is of the worker worker2"
        await fails(cluster, "worker2", {**ONLY_TLS, "node.name": "worker1"}, other)
        certificate = (cluster.home("worker1") / NODE).read_bytes()
        (cluster.home("worker1") / NODE).write_bytes((cluster.home("worker2") / NODE).read_bytes())
        await asyncio.sleep(5)
        assert vouched(right)  # what stands stays
        cluster.fabric.cut(cluster.address("worker1"))
        await cluster.until(lambda: counted(master, "identities_refused") > 0)
        assert (
            said(caplog, "master-node", "10.0.1.1 is refused: the peer is not worker1: its certificate names worker2")
            > 0
        )
        await cluster.until(lambda: said(caplog, "worker1", "its certificate names worker2") > 0)
        assert master.roster.members() == []
        (cluster.home("worker1") / NODE).write_bytes(certificate)
        await cluster.until(lambda: vouched(right))

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_15_a_name_belongs_to_the_certificate_that_was_seen_under_it_until_a_person_says_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        master = await cluster.master()
        first = cluster.worker()
        await cluster.until(lambda: joined(first) and bool(Peers(cluster.home("master")).all()))
        await cluster.stop(first)
        (cluster.home("worker1") / NODE).unlink()
        second = cluster.worker(random=Random(99))
        await cluster.until(lambda: counted(master, "identities_refused") > 0)
        assert not joined(second)
        assert said(caplog, "master-node", "run at the master: outrider peer forget worker1") > 0
        assert said(caplog, "worker1", "outrider peer forget worker1") > 0
        Peers(cluster.home("master")).forget("worker1")
        await cluster.until(lambda: joined(second))

    with caplog.at_level(logging.INFO):
        simulate(tmp_path, story)


def test_threat_14_a_revoked_worker_is_cut_off_within_5_s_and_stays_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        for name in ("worker1", "worker2"):
            certify(authority, cluster.home(name), name)
        master = await cluster.master()
        first, second = cluster.worker("worker1"), cluster.worker("worker2", ONLY_TLS)
        await cluster.until(lambda: vouched(first) and vouched(second))
        for name, worker in (("worker1", first), ("worker2", second)):
            authority.revoke(name, EPOCH)
            took = await cluster.until(lambda w=worker: not joined(w), step_s=0.1)  # type: ignore[misc]
            assert took <= 5
        await cluster.until(lambda: said(caplog, "master-node", "its certificate has been revoked") > 5)
        assert not joined(first)
        assert not joined(second)
        assert counted(master, "identities_cut") == 2

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_14_a_revoked_worker_is_out_although_the_master_s_own_certificate_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        master = await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        file = cluster.home("master") / NODE
        whole = file.read_bytes()
        file.write_bytes(b"x")
        await asyncio.sleep(600)
        assert joined(worker)
        assert said(caplog, "master-node", "is not this node's key and certificate") == 1
        assert "is not this node's key and certificate" in master.status.snapshot().retries[Tag.IDENTITY].reason
        authority.revoke("worker1", EPOCH)
        assert await cluster.until(lambda: not joined(worker), step_s=0.1) <= 5
        file.write_bytes(whole)
        await cluster.until(lambda: Tag.IDENTITY not in master.status.snapshot().retries, within_s=5)

    with caplog.at_level(logging.WARNING):
        tell(tmp_path, story)


def test_threat_10_a_master_whose_authority_is_lost_does_not_step_back_to_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        (cluster.home("master") / TRUST).unlink()  # what stands in the authority's folder counts
        await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        lost = authority.folder / "trust.pem"
        text = lost.read_text()
        lost.unlink()
        await asyncio.sleep(60)
        assert vouched(worker)
        assert said(caplog, "master-node", "trust.pem is gone: restore it from a copy") == 1
        other = cluster.worker("worker2")  # it has the cluster key, and no certificate
        await asyncio.sleep(60)
        assert not joined(other)
        lost.write_text(text)
        await asyncio.sleep(5)
        authority.revoke("worker1", EPOCH)
        assert await cluster.until(lambda: not joined(worker), step_s=0.1) <= 5
        assert not joined(other)

    with caplog.at_level(logging.WARNING):
        tell(tmp_path, story)


def test_threat_14_a_list_that_the_disk_gives_again_after_a_while_is_heard_within_5_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = False

    def read(file: Path, *more: Any) -> tuple[bytes, Any]:
        if broken and file.name == "trust.pem":
            raise OSError(errno.EIO, "Input/output error")
        return read_plain(file, *more)

    monkeypatch.setattr("outrider.store.credentials.read_plain", read)

    async def story(cluster: Cluster, authority: Authority) -> None:
        nonlocal broken
        certify(authority, cluster.home("worker1"), "worker1")
        await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        broken = True
        authority.revoke("worker1", EPOCH)
        await asyncio.sleep(600)
        assert joined(worker), "the master could not know"
        broken = False
        assert await cluster.until(lambda: not joined(worker), step_s=0.1) <= 5

    tell(tmp_path, story)


def test_threat_14_a_revoked_worker_that_reads_nothing_is_out_within_5_s_as_well(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        master = await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        (handler,) = master.roster.members()
        cluster.fabric.freeze(cluster.address("worker1"))
        stream = handler.session.channel.stream
        assert stream is not None
        stream.write(b"x" * 10_000_000)  # files are on their way to it
        authority.revoke("worker1", EPOCH)
        assert await cluster.until(lambda: master.roster.members() == [], step_s=0.1) <= 5
        assert stream.is_closing()

    tell(tmp_path, story)


def test_threat_14_a_worker_that_does_not_answer_delays_nobody_s_end(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        for name in ("worker1", "worker2"):
            certify(authority, cluster.home(name), name)
        await cluster.master()
        silent, revoked = cluster.worker("worker1"), cluster.worker("worker2")
        await cluster.until(lambda: vouched(silent) and vouched(revoked))
        cluster.fabric.freeze(cluster.address("worker1"))
        authority.revoke("worker3", EPOCH)  # all are told of a new list, and one never hears it
        await asyncio.sleep(3)
        authority.revoke("worker2", EPOCH)
        assert await cluster.until(lambda: not joined(revoked), step_s=0.1) <= 5

    tell(tmp_path, story)


@pytest.mark.parametrize("tls", ["ca", "required"])
@pytest.mark.parametrize(
    ("case", "nature"), [("expired", "permanent"), ("revoked", "temporary"), ("strange master", "the peer's fault")]
)
def test_what_only_a_certificate_mends_is_no_matter_of_time_and_a_new_one_is_tried_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str, nature: str, tls: str
) -> None:
    """Who is revoked is not always told: the stream may break before the master's last word has come."""

    async def story(cluster: Cluster, authority: Authority) -> None:
        home = cluster.home("worker1")
        if case == "strange master":
            certify(authority_at(cluster.folder / "elsewhere", seed=2), home, "worker1")
        else:
            certify(authority, home, "worker1", days=0.5 if case == "expired" else 365, now=EPOCH - DAY_S)
        if case == "revoked":
            authority.revoke("worker1", EPOCH)
        await cluster.master({"link.tls": tls})
        worker = cluster.worker("worker1", {"link.tls": tls, "intervals.worker.connection_retry": 600})
        await asyncio.sleep(3600)
        shown = worker.status.snapshot().retries[LINK]
        assert (shown.nature, shown.awaits) == (nature, f"file {home / NODE}")
        assert len([one for one in caplog.records if one.name.endswith("cluster") and LINK in one.getMessage()]) <= 5
        authority.revoke("worker1", now())
        certify(authority, home, "worker1", now=now())
        assert await cluster.until(lambda: vouched(worker), step_s=0.1) <= 3

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_14_workers_refuse_a_master_that_was_revoked(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        authority.revoke("master-node", EPOCH)
        assert await cluster.until(lambda: not joined(worker), step_s=0.1) <= 5
        await cluster.until(lambda: not vouched(worker), within_s=60)

    tell(tmp_path, story)


@pytest.mark.parametrize("tls", ["ca", "required"])
def test_threat_17_a_proven_worker_takes_over_its_half_open_session_in_a_round_trip(tmp_path: Path, tls: str) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        cluster.fabric.latency = 0.01
        certify(authority, cluster.home("worker1"), "worker1")
        await takes_over(cluster, {"link.tls": tls})

    tell(tmp_path, story)


def test_threat_17_so_does_one_whose_certificate_is_the_one_of_the_old_session(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.fabric.latency = 0.01
        await takes_over(cluster, {})

    simulate(tmp_path, story)


async def takes_over(cluster: Cluster, changes: dict[str, Any]) -> None:
    """The worker loses its stream, the master does not hear of it."""
    master = await cluster.master(changes)
    worker = cluster.worker("worker1", changes)
    await cluster.until(lambda: joined(worker) and bool(Peers(cluster.home("master")).all()))
    (old,) = master.roster.members()
    cluster.fabric.freeze(cluster.address("worker1"))
    (mine,) = [one for one in cluster.fabric.streams if one.here == cluster.address("worker1")]
    mine.fail(ConnectionResetError("the worker's machine was asleep"))
    dialled = len(cluster.fabric.dialled)
    await cluster.until(lambda: len(cluster.fabric.dialled) > dialled, step_s=0.001)
    assert await cluster.until(lambda: master.roster.members() not in ([], [old]), step_s=0.001) < 0.3
    assert await cluster.until(lambda: joined(worker), step_s=0.001) < 0.3
    assert counted(master, "sessions_taken_over") == 1
    assert not old.session.channel.is_open
    assert old.session.channel.reason == "its worker has come back on a new connection"
    (new,) = master.roster.members()
    before = old.session.channel.bytes_out
    late = pack_frame(1, b"hello", b"worker1 wazuh worker 4.9.2") + pack_frame(2, b"syn_a_w_m_p", b"")
    old.session.channel.get_buffer(-1)[: len(late)] = late
    old.session.channel.buffer_updated(len(late))  # whatever still comes over the old one is not heard
    await asyncio.sleep(60)
    assert old.session.channel.bytes_out == before
    assert master.roster.members() == [new]
    assert new.session.extended is not None


@pytest.mark.parametrize("command", [c.KEEP_ALIVE, c.AGENT_INFO_PERMISSION, c.PROBE])
def test_threat_17_who_has_the_key_and_no_proof_disturbs_nobody(tmp_path: Path, command: c.Command) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        master = await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker) and bool(Peers(cluster.home("master")).all()))
        mine = worker._handler
        thief = await played_worker(cluster)
        if command is not c.PROBE:
            with pytest.raises(RefusedByPeer, match="was seen to speak the extended protocol"):
                await thief.channel.request(command, b"", 20)
        else:
            certificate = identity_of(tmp_path / "thief", b"t" * 32).certificate
            says = Abilities(protocol=PROTOCOL, version="1", node="worker1", features=(TLS,), certificate=certificate)
            await thief.channel.request(c.PROBE, says.encode(), 20)
            await thief.channel.request(c.START_TLS, b"", 20)
        await thief.channel.closed()
        await asyncio.sleep(60)
        assert worker._handler is mine
        assert len(master.roster.members()) == 1
        assert counted(master, "sessions_taken_over") == 0

    tell(tmp_path, story)


def test_threat_15_a_connection_claims_one_name_and_no_second(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        master = await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker) and bool(Peers(cluster.home("master")).all()))
        thief = await played_worker(cluster)
        for name in ("worker1", "worker2"):
            with pytest.raises(RefusedByPeer, match="3028"):
                await thief.channel.request(c.HELLO, f"{name} wazuh worker 4.9.2".encode(), 20)
        assert [one.info.name for one in master.roster.members()] == ["worker1"]

    tell(tmp_path, story)


def test_threat_14_who_opens_with_tls_must_say_what_it_is_or_goes(tmp_path: Path) -> None:
    """Whoever kept to base commands inside TLS would not be cut off by a revocation."""

    async def story(cluster: Cluster, authority: Authority) -> None:
        home = cluster.home("worker1")
        certify(authority, home, "worker1")
        master = await cluster.master({"limits.handshake_deadline_s": 5})
        side = await opened_with_tls(cluster, home)
        await side.channel.request(c.HELLO, b"worker1 wazuh worker 4.9.2", 20)
        side.channel.connection.known()
        if cluster.seed == 1:
            with pytest.raises(RefusedByPeer, match="must speak the extended protocol"):
                await side.channel.request(c.KEEP_ALIVE, b"", 20)
        await side.channel.closed()
        await cluster.until(lambda: master.roster.members() == [])

    for seed in (1, 2):
        tell(tmp_path / str(seed), story, seed)


def test_threat_14_who_is_revoked_between_hello_and_the_probe_gets_no_link(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        home = cluster.home("worker1")
        certify(authority, home, "worker1")
        master = await cluster.master()
        side = await opened_with_tls(cluster, home)
        await side.channel.request(c.HELLO, b"worker1 wazuh worker 4.9.2", 20)
        side.channel.connection.known()
        authority.revoke("worker1", EPOCH)
        await asyncio.sleep(5)  # by now all links that stood are cut
        probe = Abilities(protocol=PROTOCOL, version="1", node="worker1", features=(TLS,))
        with pytest.raises(TransportError):
            await side.channel.request(c.PROBE, probe.encode(), 20)
        await cluster.until(lambda: master.roster.members() == [])
        assert counted(master, "identities_refused") == 1

    tell(tmp_path, story)


@pytest.mark.parametrize("who", ["worker1", "master"])
def test_threat_15_who_was_vouched_for_once_is_not_taken_at_the_key_s_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, who: str
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        loose = {"link.tls": "any"}
        master, worker = await cluster.master(loose), cluster.worker("worker1", loose)
        await cluster.until(lambda: vouched(worker) and bool(Peers(cluster.home("master")).all()))
        await cluster.stop(worker)
        await cluster.stop(master)
        (cluster.home(who) / NODE).unlink()
        master, worker = await cluster.master(loose), cluster.worker("worker1", loose)
        await cluster.until(lambda: counted(master, "identities_refused") + counted(worker, "identities_refused") > 0)
        assert not joined(worker)
        forget, other = ("worker1", "master") if who == "worker1" else ("master-node", "worker1")
        teller = "master-node" if who == "worker1" else "worker1"
        await cluster.until(lambda: said(caplog, teller, f"outrider peer forget {forget}") > 0)
        assert Peers(cluster.home(other)).forget(forget)
        await cluster.until(lambda: joined(worker))

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_a_certificate_is_renewed_in_time_and_the_link_stays(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1", days=0.02)
        master = await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        first = serial(cluster, "worker1")
        handler = worker._handler
        await cluster.until(lambda: serial(cluster, "worker1") != first, within_s=0.02 * DAY_S, step_s=5)
        assert worker._handler is handler
        await cluster.stop(master)
        await cluster.master()
        await cluster.until(lambda: vouched(worker) and worker._handler is not handler)

    tell(tmp_path, story)


def test_a_worker_whose_disk_is_full_shows_that_it_renews_in_vain_and_has_its_certificate_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = True

    def keep(home: Path, *rest: Any) -> None:
        if full:
            raise StoreError("cannot keep this node's certificate: No space left on device", errno.ENOSPC, str(home))
        install(home, *rest)

    async def story(cluster: Cluster, authority: Authority) -> None:
        nonlocal full
        certify(authority, cluster.home("worker1"), "worker1", days=0.02)
        await cluster.master()
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        first = serial(cluster, "worker1")
        await cluster.until(lambda: "Identity" in worker.status.snapshot().retries, within_s=0.02 * DAY_S, step_s=5)
        await asyncio.sleep(400)
        shown = worker.status.snapshot().retries["Identity"]
        assert "has 4 new certificates already" in shown.reason
        assert len(authority.ledger().issued) == 6  # the master's, its first, and 4 that it could not keep
        assert said(caplog, "worker1", "Identity failed") < 16  # lines for two causes, and then the alarms
        full = False
        authority.rotate("wazuh", now(), 300)  # it need not wait until tomorrow for one of another authority
        await cluster.until(lambda: serial(cluster, "worker1") != first, within_s=100)
        await cluster.until(lambda: "Identity" not in worker.status.snapshot().retries, within_s=120)

    monkeypatch.setattr("outrider.exchange.credentials.install", keep)
    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_14_a_token_works_once_and_only_in_its_time_and_each_refusal_is_counted(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        master = await cluster.master()
        ports = simulated_ports(cluster.fabric, "10.0.9.9")
        late, token = authority.token("worker2", 60, now()), authority.token("worker1", 3600, now())
        guess = Token(token.name, token.id, "0" * 64, token.authorities)
        with pytest.raises(PeerError, match="the token is not known here"):
            await join(guess, MASTER, PORT, ports)
        joined_ = await join(token, MASTER, PORT, ports)
        assert authority.trust().judge(joined_.certificate.encode(), "worker", now()).name == "worker1"
        with pytest.raises(PeerError, match="the token has been used already"):
            await join(token, MASTER, PORT, ports)
        await asyncio.sleep(61)
        with pytest.raises(PeerError, match="the token has expired"):
            await join(late, MASTER, PORT, ports)
        again = authority.token("worker3", 3600, now())
        certify(authority, cluster.home("elsewhere"), "worker3", "worker")
        with pytest.raises(PeerError, match="worker3 has a certificate that is good"):
            await join(again, MASTER, PORT, ports)
        assert counted(master, "nodes_joined") == 1
        assert counted(master, "joins_refused") == 4
        await cluster.stop(master)
        await cluster.master()
        with pytest.raises(PeerError, match="the token has been used already"):
            await join(token, MASTER, PORT, ports)

    tell(tmp_path, story)


def test_threat_14_who_guesses_tokens_fills_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        master = await cluster.master()
        ports = simulated_ports(cluster.fabric, "10.0.9.9")
        token = authority.token("worker1", 3600, now())
        for number in range(50):
            guess = Token(token.name, token.id, f"{number:064x}", token.authorities)
            with pytest.raises(PeerError, match="the token is not known here"):
                await join(guess, MASTER, PORT, ports)
        await asyncio.sleep(1)
        assert counted(master, "joins_refused") == 50
        assert (
            said(caplog, "master-node", "from 10.0.9.9 came to nothing: it may not join: the token is not known") == 1
        )

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_threat_14_who_says_others_names_fills_no_log_and_hides_nobody_for_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        home = cluster.home("worker1")
        certify(authority, home, "worker1")
        master = await cluster.master()

        async def as_another(name: str) -> None:
            side = await opened_with_tls(cluster, home)
            with pytest.raises(RefusedByPeer, match="its certificate names worker1"):
                await side.channel.request(c.HELLO, f"{name} wazuh worker 4.9.2".encode(), 20)
            await side.channel.closed()

        for _ in range(20):
            await as_another("worker2")
        assert counted(master, "identities_refused") == 20
        refused = "10.0.9.9 is refused: the peer is not {}: its certificate names worker1"
        assert said(caplog, "master-node", refused.format("worker2")) == 1
        assert (
            len([one for one in caplog.records if one.levelno >= logging.INFO and "worker2" in one.getMessage()]) == 1
        )
        for number in range(100):
            await as_another(f"made-up-{number}")
        assert said(caplog, "master-node", "is refused: the peer is not made-up-") == 63  # and one of worker2
        await asyncio.sleep(61)
        for name in ("worker2", "worker3"):
            await as_another(name)
        assert said(caplog, "master-node", refused.format("worker2")) == 2
        assert said(caplog, "master-node", refused.format("worker3")) == 1

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


@pytest.mark.parametrize("damaged", ["ledger.json", "trust.pem"])
def test_threat_14_where_the_files_of_a_master_lie_is_told_to_no_stranger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: str
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        master = await cluster.master()
        token = authority.token("worker1", 3600, now())
        file = authority.folder / damaged
        kept = file.read_bytes()
        file.write_bytes(b"{")
        ports = simulated_ports(cluster.fabric, "10.0.9.9")
        with pytest.raises(PeerError, match="cannot use its authority at this moment") as refused:
            await join(token, MASTER, PORT, ports)
        assert str(tmp_path) not in str(refused.value)
        await asyncio.sleep(1)
        assert said(caplog, "master-node", str(file)) >= 1
        assert counted(master, "joins_refused") == 1
        file.write_bytes(kept)
        assert (await join(token, MASTER, PORT, ports)).certificate, "the token is good as it was"

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_whoever_joins_says_nothing_of_the_token_to_another_authority(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        del authority
        other = authority_at(cluster.folder / "elsewhere", seed=2)
        master = await cluster.master()
        token = other.token("worker1", 3600, now())
        with pytest.raises(PeerError, match="this master is not taken: its authority is"):
            await join(token, MASTER, PORT, simulated_ports(cluster.fabric, "10.0.9.9"))
        assert "ca_join" not in {one.name for one in cluster.trace.said}
        assert counted(master, "joins_refused") == 0

    tell(tmp_path, story)


@pytest.mark.parametrize("first", ["right", "wrong"])
def test_threat_14_who_stands_before_the_master_gets_no_token_by_naming_the_right_authority_beside_his_own(
    tmp_path: Path, first: str
) -> None:
    """Every stranger may ask a master whom the cluster trusts, and say it again."""

    async def story(cluster: Cluster, authority: Authority) -> None:
        right = authority_at(cluster.folder / "elsewhere", seed=2)
        texts = [right.trust().text, authority.trust().text]
        parts = [re.split("(?=-----BEGIN X509)", text) for text in (texts if first == "right" else reversed(texts))]
        (authority.folder / "trust.pem").write_text("".join(one[0] for one in parts) + "".join(one[1] for one in parts))
        master = await cluster.master()
        with pytest.raises(PeerError, match="this master is not taken"):
            await join(right.token("worker1", 3600, now()), MASTER, PORT, simulated_ports(cluster.fabric, "10.0.9.9"))
        assert counted(master, "joins_refused") == 0  # it was never asked

    tell(tmp_path, story)


def test_a_node_joins_while_the_authority_is_replaced(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        await cluster.master()
        ports = simulated_ports(cluster.fabric, "10.0.9.9")
        before = authority.token("worker1", 3600, now())
        over = authority.token("worker3", 3600, now())
        authority.rotate("wazuh", now(), 300)
        during, late = authority.token("worker2", 3600, now()), authority.token("worker4", 3600, now())
        for token in (before, during):
            joined_ = await join(token, MASTER, PORT, ports)
            authority.trust().judge(joined_.certificate.encode(), "worker", now())
        await cluster.until(lambda: len(authority.trust().authorities) == 1, within_s=400)
        await asyncio.sleep(5)
        await join(late, MASTER, PORT, ports)
        with pytest.raises(PeerError, match=r"its authority is .*, the token is of"):
            await join(over, MASTER, PORT, ports)

    tell(tmp_path, story)


@pytest.mark.parametrize("command", [c.HELLO, c.CA_RENEW, c.GET_NODES, c.PROBE])
def test_threat_14_who_has_no_certificate_may_join_and_nothing_else(tmp_path: Path, command: c.Command) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        del authority
        await cluster.master()
        side = Side(simulated_ports(cluster.fabric, "10.0.9.9"), {}, NoSeal(), None)
        side.channel.opening = Opening(Turn(Tls(False, None, None, 20), lambda: None))
        await side.channel._ports.network.dial(MASTER, PORT, lambda: side.channel)
        await side.channel.turned()
        with pytest.raises(RefusedByPeer, match=r"may join|comes before hello"):
            await side.channel.request(command, b"worker1 wazuh worker 4.9.2", 20)
        assert b"trust" in await side.channel.request(c.CA_SHOW, b"", 20)
        assert side.channel.is_open
        with pytest.raises(RefusedByPeer, match="answered once"):
            await side.channel.request(c.CA_SHOW, b"", 20)
        await side.channel.closed()

    tell(tmp_path, story)


def test_threat_14_nobody_joins_in_clear(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        token = authority.token("worker1", 3600, now())
        await cluster.master()
        side = Side(simulated_ports(cluster.fabric, "10.0.9.9"), {}, KeyRing([KEY.encode()]), None)
        await side.channel._ports.network.dial(MASTER, PORT, lambda: side.channel)
        wish = encode(Join(token.id, token.secret, "a request"))
        for command, payload in ((c.CA_SHOW, b""), (c.CA_JOIN, wish)):
            with pytest.raises(RefusedByPeer, match="a node joins over TLS from the first byte"):
                await side.channel.request(command, payload, 20)
        assert authority.ledger().tokens[-1].used is None

    tell(tmp_path, story)


@pytest.mark.parametrize("command", [c.CA_SHOW, c.CA_JOIN])
def test_threat_14_who_has_a_certificate_joins_under_no_second_name(tmp_path: Path, command: c.Command) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        home = cluster.home("worker1")
        certify(authority, home, "worker1")
        await cluster.master()
        token = authority.token("worker2", 60, now())
        key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
        side = await opened_with_tls(cluster, home)
        with pytest.raises(RefusedByPeer, match="without a certificate"):
            await side.channel.request(command, encode(Join(token.id, token.secret, make_request(key, "worker2"))), 20)
        assert authority.ledger().tokens[-1].used is None

    tell(tmp_path, story)


def test_threat_14_whom_the_key_alone_vouches_for_says_nothing_of_an_authority_and_gets_nothing_of_it(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        (cluster.home("master") / NODE).unlink()  # it holds an authority, and shows no certificate of it
        loose = {"link.tls": "any"}
        master, worker = await cluster.master(loose), cluster.worker("worker1", loose)
        await cluster.until(lambda: joined(worker))
        (handler,) = master.roster.members()
        assert handler.session.extended is not None
        assert not handler.session.extended.vouched
        with pytest.raises(RefusedByPeer, match="only a master with a certificate"):
            await handler.session.request(c.CA_TRUST, encode(Trusted(authority.trust().text)))
        assert not (cluster.home("worker1") / TRUST).exists()
        assert worker._handler is not None
        with pytest.raises(RefusedByPeer, match="only a node with a certificate"):
            await worker._handler.session.request(c.CA_RENEW, encode(Renewal("")))

    tell(tmp_path, story)


def test_threat_15_a_certificate_of_an_authority_that_is_gone_is_nobody_s_word_for_a_name(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        loose = {"link.tls": "any"}
        master, worker = await cluster.master(loose), cluster.worker("worker1", loose)
        await cluster.until(lambda: vouched(worker) and bool(Peers(cluster.home("master")).all()))
        await cluster.stop(worker)
        authority.rotate("wazuh", now(), 1)
        await cluster.until(lambda: len(authority.trust().authorities) == 1)
        await asyncio.sleep(5)
        Peers(cluster.home("worker1")).forget("master-node")  # the worker takes the master at the key's word again
        worker = cluster.worker("worker1", loose)
        await cluster.until(lambda: counted(master, "identities_refused") > 0)
        assert not joined(worker)

    tell(tmp_path, story)


def test_threat_08_a_master_that_says_another_name_than_its_certificate_is_refused(tmp_path: Path) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        home, ports = cluster.home("master"), simulated_ports(cluster.fabric, MASTER)
        identity = Identity(identity_of(home, b"").certificate, home / NODE)
        other = Abilities(protocol=PROTOCOL, version="1", node="other-node", features=(TLS,))
        serves = {c.HELLO: say(b"added"), c.PROBE: say(other.encode()), c.KEEP_ALIVE: say(b"")}

        def accept() -> asyncio.BaseProtocol:
            side = Side(ports, serves, NoSeal(), None)
            side.channel.opening = Opening(Turn(Tls(True, identity, Authorities(home / TRUST), 20), lambda: None))
            side.channel.connection.known()
            return side.channel

        await ports.network.listen("", PORT, accept)
        worker = cluster.worker("worker1", ONLY_TLS)
        await cluster.until(lambda: counted(worker, "identities_refused") > 0)
        shown = worker.status.snapshot().retries[LINK]
        assert "its certificate names master-node, and it says that it is other-node" in shown.reason
        assert (shown.nature, joined(worker)) == ("the peer's fault", False)

    tell(tmp_path, story)


def test_an_authority_is_replaced_while_all_go_on_and_who_was_away_joins_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        for name in ("worker1", "worker2"):
            certify(authority, cluster.home(name), name)
        master = await cluster.master()
        here, away = cluster.worker("worker1"), cluster.worker("worker2", ONLY_TLS)
        await cluster.until(lambda: vouched(here) and vouched(away))
        await cluster.stop(away)
        first = serial(cluster, "worker1")
        authority.rotate("wazuh", now(), 300)
        await cluster.until(lambda: serial(cluster, "worker1") != first, within_s=20)
        assert len(authority.trust().authorities) == 2
        await cluster.until(lambda: len(authority.trust().authorities) == 1, within_s=400)
        await cluster.until(lambda: vouched(here), within_s=60)
        assert len(Trust((cluster.home("worker1") / TRUST).read_text()).authorities) == 1
        late = cluster.worker("worker2", ONLY_TLS)
        await cluster.until(lambda: said(caplog, "worker2", "`outrider join` gives it a new one") > 0)
        assert not joined(late)
        await cluster.stop(late)
        authority.revoke("worker2", now())
        certify(authority, cluster.home("worker2"), "worker2", now=now())
        back = cluster.worker("worker2", ONLY_TLS)
        await cluster.until(lambda: vouched(back))
        assert counted(master, "identities_cut") <= 1

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


@pytest.mark.parametrize("masters", ["renewed", "revoked", "removed"])
def test_whatever_a_crash_left_of_a_replacement_it_ends_and_revocations_are_heard(
    tmp_path: Path, masters: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        authority.rotate("wazuh", now(), 60)
        install_trust(cluster.home("worker1"), authority.trust().text)  # it has heard of it
        home = cluster.home("master")
        if masters == "renewed":  # the master died with its new certificate, before the old authority was dropped
            key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
            held = authority.trust().holder((home / NODE).read_bytes())
            assert held is not None
            install(home, key, authority.renew(held, make_request(key, "master-node"), now()))
        elif masters == "revoked":
            authority.revoke("master-node", now())
        else:
            (home / NODE).unlink()
        await cluster.master()
        worker = cluster.worker("worker1")
        if masters == "renewed":
            await cluster.until(lambda: vouched(worker))
        await cluster.until(lambda: len(authority.trust().authorities) == 1, within_s=120)
        assert said(caplog, "master-node", "the old authority is dropped") == 1
        if masters == "renewed":
            await cluster.until(lambda: vouched(worker), within_s=60)
            authority.revoke("worker1", now())
            assert await cluster.until(lambda: not joined(worker), step_s=0.1) <= 5

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def test_what_hinders_the_end_of_a_replacement_is_told_once_and_shown_and_revocations_are_heard_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster, authority: Authority) -> None:
        certify(authority, cluster.home("worker1"), "worker1")
        secret = cluster.folder / "passphrase"
        secret.write_text("open sesame\n")
        master = await cluster.master({"ca.passphrase_file": str(secret)})
        worker = cluster.worker("worker1")
        await cluster.until(lambda: vouched(worker))
        authority.rotate("wazuh", now(), 10)
        secret.unlink()
        await asyncio.sleep(60)
        assert "cannot read ca.passphrase_file" in master.status.snapshot().notes["authority"]
        assert said(caplog, "master-node", "cannot read ca.passphrase_file") == 2  # once of the worker's certificate
        assert counted(master, "renewals_refused") > 5
        authority.revoke("worker1", now())
        assert await cluster.until(lambda: not joined(worker), step_s=0.1) <= 5
        secret.write_text("open sesame\n")
        await cluster.until(lambda: len(authority.trust().authorities) == 1, within_s=10)
        await cluster.until(lambda: "authority" not in master.status.snapshot().notes, within_s=10)

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story)


def now() -> float:
    """Unix seconds in a simulation."""
    return EPOCH + asyncio.get_running_loop().time()
