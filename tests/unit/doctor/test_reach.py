"""One echo at a real door: a master of ours, one with another key, one with another clock, nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.support.patients import KEY, patient, states

import outrider
from outrider.doctor import reach
from outrider.settings import Settings
from outrider.world import real_ports


@contextmanager
def master(home: Path, *, key: str = KEY, ahead_s: float = 0) -> Iterator[int]:
    """A real master in a thread of its own; its port."""
    home.mkdir()
    over = {"node.home": str(home), "link.key": key, "link.port": "0", "link.bind_addr": "127.0.0.1"}
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
