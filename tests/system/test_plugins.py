"""The example package, installed as any other, between a master and a worker as processes; one beside it is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider import LocalClient
from outrider.protocol.api import Request

EXAMPLE = Path(__file__).parents[2] / "examples" / "outrider-example"
BROKEN = """
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"
[project]
name = "broken"
version = "0.3"
description = "Claims a command of the protocol"
[project.entry-points."outrider.kinds"]
broken = "broken:kind"
[project.entry-points."outrider.handlers"]
broken = "broken:handlers"
"""
BROKEN_MODULE = """
from outrider import Command, Handlers, Kind, Talk, To, stateless

kind = Kind(name="broken", commands=(Command(b"syn_m_c", To.WORKER, "files"),), worker=stateless(lambda link: Talk()))
handlers = Handlers()

@handlers.call("broken.call")
async def call() -> int:
    return 1
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both packages, which every process started from here imports from."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text(BROKEN)
    (broken / "broken.py").write_text(BROKEN_MODULE)
    target = tmp_path / "site"
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(EXAMPLE), str(broken)]
    subprocess.run(install, check=True)
    monkeypatch.setenv("PYTHONPATH", str(target))
    return target


def outrider(*arguments: str) -> Any:
    """What a command says with ``--json``."""
    command = [sys.executable, "-m", "outrider", *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=dict(os.environ)).stdout)


def configure(node: Node, text: str) -> None:
    with (node.home.parent / f"{node.home.name}.toml").open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.usefixtures("site")
def test_plugins_are_listed_with_what_they_bring_and_why_one_was_refused() -> None:
    found = outrider("plugins", "list")
    rows = {(one["package"], one["version"], one["group"], one["name"]): one for one in found}
    example = ("outrider-example", "1.0.0")
    assert rows[*example, "outrider.kinds", "clock"]["brings"] == ["clock", "clock_ask", "clock_set"]
    assert rows[*example, "outrider.handlers", "example"]["brings"] == ["example.clock"]
    assert rows[*example, "outrider.stores", "memory"]["brings"] == ["memory"]
    assert not any(one["refused"] for one in found if one["package"] == "outrider-example")
    kind, calls = (rows["broken", "0.3", f"outrider.{group}", "broken"] for group in ("kinds", "handlers"))
    assert kind["refused"] == "the kind broken claims syn_m_c, a command of the kind integrity"
    assert calls["refused"] == "another part of its package was refused"
    text = subprocess.run(
        [sys.executable, "-m", "outrider", "plugins", "list"], check=True, capture_output=True, text=True
    ).stdout
    assert "refused: the kind broken claims syn_m_c" in text


@pytest.mark.usefixtures("site")
def test_two_nodes_exchange_over_the_new_kind_and_a_program_reaches_its_call(tmp_path: Path) -> None:
    port = free_port()
    master, worker = (Node(role, tmp_path / role, port=port) for role in ("master", "worker"))
    configure(master, '[agents]\nstore = "memory"\n')
    configure(worker, '[agents]\nstore = "memory"\n[kinds.clock]\ninterval = 0.2\n')
    with nodes(master, worker):
        wait_until(lambda: all(node.said("listening at") for node in (master, worker)), "the local sockets")
        beside = LocalClient(worker.home / "queue/cluster/c-internal.sock")

        def clock() -> dict[str, Any]:
            status: Any = beside.request(Request(call="outrider.status", request_type="local_any"))
            return {"succeeded": 0, **status["kinds"].get("clock", {})}

        wait_until(lambda: clock()["succeeded"] >= 3, "three looks at the clock")
        assert clock()["failed"] == 0
        answer = outrider("call", "example.clock", "--all", "--home", str(worker.home))
        assert isinstance(answer["worker"]["off_ms"], int)
        assert answer["master"]["off_ms"] == 0
        wait_until(lambda: worker.tree() == master.tree())
        for node in (master, worker):
            assert node.said("broken of the package broken .* is left out: the kind broken claims syn_m_c") == 1
            assert not (node.home / ".outrider" / "agents.db").exists()
            assert node.terminate() == 0
            assert node.said("Traceback") == 0


@pytest.mark.usefixtures("site")
def test_settings_that_no_package_knows_are_named_and_no_node_starts(tmp_path: Path) -> None:
    node = Node("worker", tmp_path / "worker", port=free_port())
    configure(node, '[agents]\nstore = "memroy"\n[kinds.clock]\nwarn = 1\n')
    node.start()
    assert node.wait() == 2
    assert node.said("kinds.clock.warn: this kind has no such option; it has warn_s") == 1
    checked = subprocess.run(
        [sys.executable, "-m", "outrider", "config", "check", "--config", str(tmp_path / "worker.toml")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 2
    assert "kinds.clock.warn: " in checked.stderr
