"""Real nodes under a stand-in for systemd, which hears what systemd would; and the units, as systemd reads them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.manager import Manager
from tests.support.packages import SitePackages
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider import LocalClient
from outrider.errors import TransportError
from outrider.protocol.api import Request

HANGS = '''
import time
from outrider import Handlers

handlers = Handlers()

@handlers.call("hang.loop", quick=True)
def loop(*, seconds: float) -> None:
    """Hold the event loop."""
    time.sleep(seconds)

@handlers.call("hang.thread")
def thread(*, seconds: float) -> None:
    """Hold a thread."""
    time.sleep(seconds)
'''
ROLES = ("worker", "master")
ANALYZE = shutil.which("systemd-analyze")


def client(node: Node, timeout_s: float = 30) -> LocalClient:
    return LocalClient(node.home / "queue/cluster/c-internal.sock", timeout_s=timeout_s)


def hang(node: Node, call: str, seconds: float) -> None:
    """Ask for it; the answer comes when it is over."""
    with pytest.raises(TransportError):
        client(node, 0.2).request(Request(call=call, f_kwargs={"seconds": seconds}, request_type="local_any"))


def test_a_master_is_ready_when_it_listens_reloads_at_a_signal_and_says_that_it_stops(tmp_path: Path) -> None:
    with Manager(tmp_path, abstract=True) as manager:
        master = Node("master", tmp_path / "master", port=free_port())
        master.environment = manager.environment
        with nodes(master):
            assert manager.until("READY") == [{"READY": "1", "STATUS": "0 workers connected"}]
            assert master.said("listening on 127.0.0.1") == 1
            os.kill(master.pid, signal.SIGHUP)
            began, over = manager.next(), manager.next()
            assert (began["RELOADING"], began["MONOTONIC_USEC"].isdecimal(), over["READY"]) == ("1", True, "1")
            assert master.said("the settings were loaded again, and are as they were") == 1
            worker = Node("worker", tmp_path / "worker1", port=master.port)
            with nodes(worker):
                assert manager.until("STATUS")[-1] == {"STATUS": "1 worker connected"}
            os.kill(master.pid, signal.SIGTERM)
            assert manager.until("STOPPING")[-1] == {"STOPPING": "1", "STATUS": "stopping"}
            assert master.wait() == 0


def test_a_worker_is_ready_without_its_master_and_tells_when_it_is_in_step(tmp_path: Path) -> None:
    port = free_port()
    with Manager(tmp_path) as manager:
        worker = Node("worker", tmp_path / "worker1", port=port)
        worker.environment = manager.environment
        master = Node("master", tmp_path / "master", port=port)
        master.write("a", b"1")
        with nodes(worker):
            (ready,) = manager.until("READY")
            assert ready["STATUS"].startswith("not connected: ")
            with nodes(master):
                heard = [manager.next()["STATUS"]]
                while not heard[-1].startswith("in step with the master at 127.0.0.1"):
                    heard.append(manager.next()["STATUS"])


def test_a_loop_that_hangs_gives_no_sign_of_life_and_a_thread_that_is_busy_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    SitePackages(site, monkeypatch).install("hang", HANGS, {"outrider.handlers": "hang = handlers"})
    with Manager(tmp_path, watchdog_s=0.2) as manager:
        master = Node("master", tmp_path / "master", port=free_port())
        master.environment = {**manager.environment, "PYTHONPATH": str(site)}
        with nodes(master):
            manager.until("READY")
            hang(master, "hang.thread", 2)
            manager.forget()
            assert [manager.next() for _ in range(8)] == [{"WATCHDOG": "1"}] * 8
            hang(master, "hang.loop", 3)
            manager.forget()
            assert manager.silent(1)
            assert manager.until("WATCHDOG"), "it turns again"


def test_without_a_manager_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    master = Node("master", tmp_path / "master", port=free_port())
    with nodes(master):
        os.kill(master.pid, signal.SIGHUP)
        wait_until(lambda: master.said("the settings were loaded again") == 1, "the signal")
        assert master.terminate() == 0


# the units


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed: Debian's package systemd has it")
def test_nodes_make_no_system_call_and_no_memory_that_the_unit_forbids(tmp_path: Path) -> None:
    """A master and a worker from start to end, with files that travel and settings that change, under ``strace``."""
    port = free_port()
    master, worker = Node("master", tmp_path / "master", port=port), Node("worker", tmp_path / "worker1", port=port)
    for node in (master, worker):
        node.within = ["strace", "-f", "-qq", "-o", str(node.home.parent / f"{node.home.name}.calls")]
    master.write("a", b"1" * 300_000)
    with nodes(master, worker):
        wait_until(lambda: worker.tree() == master.tree(), "the files", 60)
        subprocess.run([sys.executable, "-m", "outrider", "reload", "--home", str(worker.home)], check=True)
        for node in (worker, master):
            os.kill(children_of(node.pid)[0], signal.SIGTERM)
            assert node.wait() == 0
    lines = [line for path in tmp_path.glob("*.calls") for line in path.read_text("utf-8", "replace").splitlines()]
    made = {found[1] for line in lines if (found := re.match(r"\d+ +([a-z_0-9]+)\(", line))}
    assert len(made) > 40
    assert made - allowed("@system-service") == set()
    changing = [
        line for line in lines if re.match(r"\d+ +(mmap|mprotect|pkey_mprotect)\(", line) and "PROT_EXEC" in line
    ]
    assert [line for line in changing if "PROT_WRITE" in line or "mprotect" in line] == []


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def allowed(group: str) -> set[str]:
    """The system calls of a group, those of the groups in it as well."""
    listed = subprocess.run([str(ANALYZE), "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    names = {line.strip() for line in listed.splitlines()[1:] if line.strip() and not line.strip().startswith("#")}
    inner = {name for name in names if name.startswith("@")}
    return (names - inner).union(*(allowed(name) for name in inner))


def unit(role: str, *options: str) -> str:
    command = [sys.executable, "-m", "outrider", "systemd", role, *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed: Debian's package systemd has it")
@pytest.mark.parametrize("options", [(), ("--home", "/srv", "--user", "root", "--no-key")], ids=["own", "root"])
@pytest.mark.parametrize("role", ROLES)
def test_systemd_takes_the_unit_as_it_is_and_finds_little_that_is_exposed(
    tmp_path: Path, role: str, options: tuple[str, ...]
) -> None:
    file = tmp_path / f"outrider-{role}.service"
    file.write_text(unit(role, *options), "utf-8")
    verified = subprocess.run([str(ANALYZE), "verify", str(file)], capture_output=True, text=True, check=False)
    about_ours = [line for line in verified.stderr.splitlines() if file.name in line or str(file) in line]
    assert (verified.returncode, about_ours) == (0, [])
    exposed = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", "--threshold=30", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert exposed.returncode == 0, exposed.stdout[-400:]
