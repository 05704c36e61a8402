"""The page on troubleshooting: every command of it runs beside real nodes, and the doctor sees a node that is ill."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.processes import Node, free_port, nodes, wait_until

PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"


def commands() -> Iterator[tuple[str, str]]:
    """Role and command, in the order of the page."""
    for where, block in re.findall(r"```sh\n# on (?:the )?(\w+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        for command in block.splitlines():
            for role in ("master", "worker") if where == "both" else (where,):
                yield role, command


def run(node: Node, command: str) -> subprocess.CompletedProcess[str]:
    """A command of the page as a person types it there."""
    settings = {"OUTRIDER_CONFIG": str(node.config), "OUTRIDER_NODE__HOME": str(node.home)}
    argv = [sys.executable, "-m", *command.split()]
    return subprocess.run(
        argv, capture_output=True, text=True, env=os.environ | settings, cwd=node.home, check=False, timeout=60
    )


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    port = free_port()
    master, worker = (
        Node(role, tmp_path / name, port=port) for role, name in (("master", "master-node"), ("worker", "worker1"))
    )
    master.write("a", b"a")
    with nodes(master, worker):
        wait_until(lambda: worker.tree() == master.tree())
        for command in ("outrider groups add web", "outrider agents add 1 web1"):
            assert run(master, command).returncode == 0
        yield master, worker


def test_every_command_of_the_page_runs(pair: tuple[Node, Node]) -> None:
    by_role = dict(zip(("master", "worker"), pair, strict=True))
    tried = list(commands())
    assert len(tried) > 20
    for role, command in tried:
        done = run(by_role[role], command)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (role, command, done.stdout, done.stderr)
        assert done.stdout.strip() or "put-aside" in command, (role, command)


def test_the_doctor_sees_a_worker_that_lost_its_master(pair: tuple[Node, Node]) -> None:
    master, worker = pair
    master.kill()
    wait_until(lambda: worker.said("cannot reach the master") > 0)
    found = json.loads(run(worker, "outrider doctor --json").stdout)
    bad = {one["check"]: one["what"] for one in found if one["state"] == "bad"}
    assert set(bad) >= {"node", "master"}
    assert "Connection refused" in bad["master"]
    assert run(worker, "outrider doctor").returncode == 1
    master.start()
    wait_until(lambda: run(worker, "outrider doctor").returncode == 0)
