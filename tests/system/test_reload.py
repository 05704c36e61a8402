"""Real nodes take other settings while they run: by their file, a signal and a command, over links that stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider import LocalClient
from outrider.protocol.api import Request
from outrider.status import Snapshot

CHANGED = r"settings changed: "


def reload(node: Node, *options: str) -> subprocess.CompletedProcess[str]:
    """``outrider reload`` at a node."""
    command = [sys.executable, "-m", "outrider", "reload", "--home", str(node.home), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def edit(node: Node, old: str, new: str) -> None:
    """Change the settings file as an editor does: the new one takes the place of the old."""
    text = node.config.read_text("utf-8")
    assert old in text
    fresh = node.config.with_suffix(".fresh")
    fresh.write_text(text.replace(old, new), "utf-8")
    fresh.chmod(0o600)
    fresh.rename(node.config)


def status(node: Node) -> Snapshot:
    client = LocalClient(node.home / "queue/cluster/c-internal.sock")
    return msgspec.convert(client.request(Request(call="outrider.status", request_type="local_any")), Snapshot)


def pair(folder: Path) -> tuple[Node, Node]:
    port = free_port()
    master = Node("master", folder / "master", port=port, tasks=64)
    return master, Node("worker", folder / "worker1", port=port, tasks=64)


def joined(master: Node, worker: Node) -> None:
    wait_until(lambda: worker.said("added this node") == 1, "the worker")
    wait_until(lambda: worker.tree() == master.tree() != {}, "the files")


def unbroken(master: Node, worker: Node) -> None:
    """The link of the start stands."""
    assert status(worker).link.reconnects == 0
    assert status(worker).link.connected
    assert (worker.said("added this node"), worker.said("disconnected")) == (1, 0)
    assert (master.said("worker1 joined"), master.said("worker1 disconnected")) == (1, 0)


def test_threat_48_the_file_a_signal_and_a_command_change_settings_and_no_connection_breaks(tmp_path: Path) -> None:
    master, worker = pair(tmp_path)
    master.write("a", b"1")
    with nodes(master, worker):
        joined(master, worker)
        # the file, by itself
        edit(worker, "sync_integrity = 1\n", "sync_integrity = 0.5\n")
        wait_until(lambda: worker.said(CHANGED + "intervals.worker.sync_integrity: 1.0 -> 0.5") == 1, "the file")
        # a signal, where the file is not followed
        edit(master, "[log]\n", "[watch]\nsettings = false\n[log]\n")
        wait_until(lambda: master.said(CHANGED + "watch.settings: true -> false") == 1, "the file of the master")
        edit(master, "tasks = 64\n", "tasks = 65\n")
        os.kill(master.pid, signal.SIGHUP)
        wait_until(lambda: master.said(CHANGED + "limits.tasks: 64 -> 65") == 1, "the signal")
        # a command
        edit(master, "tasks = 65\n", "tasks = 66\n")
        edit(master, 'name = "master"', 'name = "another"')
        done = reload(master)
        assert (done.returncode, done.stderr) == (0, "")
        assert "In force:\n  limits.tasks: 65 -> 66\n" in done.stdout
        assert 'At the next start:\n  node.name: "master" -> "another"\n' in done.stdout
        assert status(master).notes["settings"] == "at the next start takes effect: node.name"
        edit(master, 'name = "another"', 'name = "master"')
        assert reload(master).stdout == "The settings are as they were.\n"
        assert json.loads(reload(master, "--json").stdout) == {"changed": [], "waiting": [], "errors": []}
        # the level of the log
        edit(master, 'level = "DEBUG"', 'level = "ERROR"')
        assert reload(master).returncode == 0
        lines = len(master.lines())
        master.write("b", b"2")
        wait_until(lambda: worker.tree() == master.tree(), "the next generation")
        assert len(master.lines()) == lines
        unbroken(master, worker)


def test_threat_48_wrong_settings_change_nothing_and_are_told_everywhere(tmp_path: Path) -> None:
    master, worker = pair(tmp_path)
    master.write("a", b"1")
    with nodes(master, worker):
        joined(master, worker)
        edit(worker, "tasks = 64\n", "tasks = 0\nfiles = 7\n")
        wait_until(lambda: worker.said("those of before are in force") == 1, "the file")
        done = reload(worker)
        assert done.returncode == 2
        assert "limits.tasks = 0" in done.stderr
        assert "limits.files (file worker1.toml) is not a known key" in done.stderr
        assert "Traceback" not in done.stderr
        assert json.loads(reload(worker, "--json").stdout)["errors"]
        assert "limits.tasks = 0" in status(worker).notes["settings"]
        edit(worker, "tasks = 0\nfiles = 7\n", "tasks = 70\n")
        wait_until(lambda: worker.said(CHANGED + "limits.tasks: 64 -> 70") == 1, "the file, when it is mended")
        assert "settings" not in status(worker).notes
        master.write("b", b"2")
        wait_until(lambda: worker.tree() == master.tree(), "the next generation")
        unbroken(master, worker)


def test_a_key_file_that_changes_is_read_where_it_stands(tmp_path: Path) -> None:
    key = tmp_path / "key"
    old, new = "0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210"
    key.write_text(old, "ascii")
    key.chmod(0o600)
    master = Node("master", tmp_path / "master", port=free_port(), key_file=key)
    with nodes(master):
        key.write_text(f"{new}\n{old}\n", "ascii")
        wait_until(lambda: master.said(CHANGED + "link.key: <hidden> -> <hidden>") == 1, "the key file")
        assert not master.said(new)
