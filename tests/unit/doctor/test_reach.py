"""One echo at a real door: a master of ours, one with another key, one with another clock, nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.support.authority import authority_at, certify
from tests.support.patients import KEY, patient, running, states

import outrider
from outrider.doctor import Finding, reach
from outrider.doctor.patient import Role
from outrider.settings import Settings
from outrider.store.authority import Authority
from outrider.world import real_ports


@contextmanager
def master(home: Path, *, key: str = KEY, ahead_s: float = 0, tls: str = "ca") -> Iterator[int]:
    """A real master in a thread of its own; its port."""
    home.mkdir(exist_ok=True)
    over = {"node.home": str(home), "link.key": key, "link.port": "0", "link.bind_addr": "127.0.0.1", "link.tls": tls}
    settings = Settings.load(None, environ={}, overrides=over).require("master")
    ready, over_now, port = Event(), Event(), [0]

    async def run() -> None:
        ports = real_ports()
        node = outrider.Master(settings, ports=replace(ports, wall=lambda: ports.wall() + ahead_s))
        running = asyncio.create_task(node.run())
        await node.started.wait()
        port[0] = node.addresses[0][1]
        ready.set()
        await asyncio.to_thread(over_now.wait)
        await node.stop()
        await running

    thread = Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(30)
        yield port[0]
    finally:
        over_now.set()
        thread.join()


def test_a_master_that_answers_is_good(tmp_path: Path) -> None:
    with master(tmp_path / "m") as port:
        found = list(reach.master(patient(tmp_path / "w", link__port=str(port))))
    assert states(found) == ["good", "good"]
    assert "has the same key" in found[0].what


def test_another_key_is_told_from_silence(tmp_path: Path) -> None:
    with master(tmp_path / "m", key=KEY[::-1]) as port:
        found = list(reach.master(patient(tmp_path / "w", link__port=str(port))))
    assert (states(found), "do the cluster keys differ?" in found[0].remedy) == (["bad"], True)


@pytest.mark.parametrize(
    ("ahead_s", "age", "state"), [(3600, 0, "warning"), (-3600, 0, "warning"), (-3600, 600, "bad")]
)
def test_threat_11_clocks_that_are_apart_are_told(tmp_path: Path, ahead_s: float, age: float, state: str) -> None:
    with master(tmp_path / "m", ahead_s=ahead_s) as port:
        found = list(reach.master(patient(tmp_path / "w", link__port=str(port), link__token_age_s=str(age))))
    assert states(found) == ["good", state]
    assert ("ahead" if ahead_s > 0 else "behind") in found[1].what


def certified(folder: Path) -> Authority:
    """A cluster with an authority: the master ``node01`` in ``m``, and ``worker1`` in ``w``."""
    now = real_ports().wall()
    authority = authority_at(folder / "m", now=now)
    certify(authority, folder / "m", "node01", "master", now=now)
    certify(authority, folder / "w", "worker1", now=now)
    return authority


def asked_inside(folder: Path, port: int, role: Role = "worker", name: str = "worker1") -> list[Finding]:
    home = folder / ("w" if role == "worker" else "m")
    given = {"link__port": str(port), "link__tls": "required", "node__name": name, "link__bind_addr": "127.0.0.1"}
    return list(reach.master(patient(home, role, status=running() if role == "master" else None, **given)))


def test_where_tls_comes_first_the_question_is_asked_inside_it_with_the_node_s_certificate(tmp_path: Path) -> None:
    certified(tmp_path)
    with master(tmp_path / "m", tls="required") as port:
        from_a_worker = asked_inside(tmp_path, port)
        from_itself = asked_inside(tmp_path, port, "master", "node01")
        in_clear = list(reach.master(patient(tmp_path / "w", link__port=str(port))))
    for found in (from_a_worker, from_itself):
        assert states(found) == ["good"]
        assert found[0].what.endswith("inside TLS as the master node01")
    assert states(in_clear) == ["bad"]
    assert "does the master demand TLS (link.tls = required)?" in in_clear[0].remedy


def test_threat_08_a_master_that_refuses_the_certificate_is_bad_and_says_where_the_reason_stands(
    tmp_path: Path,
) -> None:
    authority = certified(tmp_path)
    authority.revoke("worker1", real_ports().wall())
    with master(tmp_path / "m", tls="required") as port:
        found = asked_inside(tmp_path, port)
    assert states(found) == ["bad"]
    assert "closed the connection" in found[0].what or "the master ended it" in found[0].what
    assert "see the check of the certificates" in found[0].remedy
    assert "the master's log says whom it refuses, and why" in found[0].remedy


def test_threat_08_a_master_of_another_authority_is_bad_and_hears_nothing(tmp_path: Path) -> None:
    certified(tmp_path)
    now = real_ports().wall()
    other = authority_at(tmp_path / "other", seed=2, now=now)
    certify(other, tmp_path / "other", "node01", "master", now=now)
    with master(tmp_path / "other", tls="required") as port:
        found = asked_inside(tmp_path, port)
    assert states(found) == ["bad"]
    assert "its certificate is of no authority that this node trusts" in found[0].what


def test_a_node_without_a_certificate_does_not_ask_where_tls_comes_first(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    assert asked_inside(tmp_path, 1516) == [], "the check of certificates says what is missing"
    assert not (tmp_path / "w/.outrider").exists()


def test_nobody_at_the_door_is_bad_and_names_it(tmp_path: Path) -> None:
    with master(tmp_path / "m") as port:
        pass
    found = list(reach.master(patient(tmp_path / "w", link__port=str(port))))
    assert states(found) == ["bad"]
    assert found[0].what.startswith(f"127.0.0.1:{port}: ")


def test_a_port_that_is_taken_is_bad_before_the_start(tmp_path: Path) -> None:
    with master(tmp_path / "m") as port:
        taken = list(reach.port(patient(tmp_path / "w", "master", link__port=str(port), link__bind_addr="127.0.0.1")))
    free = list(reach.port(patient(tmp_path / "w", "master", link__port=str(port), link__bind_addr="127.0.0.1")))
    assert (states(taken), states(free)) == (["bad"], ["good"])
