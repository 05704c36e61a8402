"""Daemons run if their pid files name living processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from outrider.store.daemons import DAEMONS, daemon_states


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_without_pid_files_only_this_node_runs(tmp_path: Path) -> None:
    states = daemon_states(tmp_path)
    assert tuple(states) == DAEMONS
    assert {name for name, state in states.items() if state == "running"} == {"wazuh-clusterd"}


def test_a_pid_file_of_a_living_process(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "run"
    folder.mkdir(parents=True)
    alive, dead = os.getpid(), dead_pid()
    for name in (
        f"wazuh-db-{alive}.pid",
        f"wazuh-remoted-{dead}.pid",
        "wazuh-execd-1.pid",
        "wazuh-apid-0.pid",
        "wazuh-maild--1.pid",
        "wazuh-authd-9999999999.pid",
        "wazuh-authd-x.pid",
        f"stranger-{alive}.pid",
        f"wazuh-stranger-{alive}.pid",
    ):
        (folder / name).touch()
    states = daemon_states(tmp_path)
    assert {name for name, state in states.items() if state == "running"} == {
        "wazuh-clusterd",
        "wazuh-db",
        "wazuh-execd",
    }
    assert len(states) == len(DAEMONS)
