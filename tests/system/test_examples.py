"""The programs in examples/, as real processes beside a master of ours. The package has test_plugins.py."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Node, free_port, nodes, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


class Program:
    """A program that runs, and what it has written."""

    def __init__(self, name: str, *arguments: str, output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
            self._process = subprocess.Popen(command, stdout=file, stderr=file, cwd=output.parent)

    def said(self) -> str:
        return self._output.read_text("utf-8")

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def running(name: str, *arguments: str, output: Path) -> Iterator[Program]:
    program = Program(name, *arguments, output=output)
    try:
        yield program
    finally:
        program.kill()


def outrider(*words: str) -> str:
    """What a command writes; nothing while there is no store yet."""
    command = [sys.executable, "-m", "outrider", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def pair(tmp_path: Path, *, folder: str = "tree/") -> tuple[Node, Path]:
    """A master, and the settings file of a worker of it."""
    port = free_port()
    master, worker = (Node(role, tmp_path / role, port=port) for role in ("master", "worker"))
    for node in (master, worker):
        text = node.config.read_text("utf-8").replace('"tree/"', f'"{folder}"')
        node.config.write_text(text.replace("[node]\n", f'[node]\nhome = "{node.home}"\n'), "utf-8")
        (node.home / folder).mkdir(exist_ok=True)
    return master, worker.config


def test_the_service_answers_from_the_files_of_the_latest_generation(tmp_path: Path) -> None:
    master, config = pair(tmp_path, folder="shop/")

    def offer(price: float) -> None:
        fresh = master.home / "prices.new"
        fresh.write_text(json.dumps({"bread": price}))
        fresh.replace(master.home / "shop/prices.json")

    offer(2.5)
    with nodes(master), running("service.py", str(config), "127.0.0.1", "0", output=tmp_path / "out") as service:
        wait_until(lambda: "serving generation" in service.said(), "the service to open its door")
        port = int(service.said().split()[-1])

        def ask(name: str) -> str:
            with socket.create_connection(("127.0.0.1", port), 30) as stream, stream.makefile("rw") as lines:
                lines.write(f"{name}\n")
                lines.flush()
                return lines.readline()

        wait_until(lambda: ask("bread") == "bread: 2.5 (generation 1)\n", "the first prices")
        assert ask("cake") == "cake: unknown (generation 1)\n"
        offer(3)
        wait_until(lambda: ask("bread") == "bread: 3 (generation 2)\n", "the new price")
        (master.home / "shop/prices.json").write_text("no JSON")
        wait_until(lambda: "on_generation failed" in service.said(), "the hook to fail")
        assert ask("bread") == "bread: 3 (generation 2)\n"
        assert service.end() == 0


def test_agents_of_a_store_of_one_s_own_reach_the_master_and_their_groups_come_back(tmp_path: Path) -> None:
    master, config = pair(tmp_path)
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"7": {"name": "web7", "ip": "192.0.2.7"}, "8": {"name": "db8"}}))
    home = ("--home", str(master.home))
    with nodes(master), running("own_store.py", str(config), str(inventory), output=tmp_path / "out") as program:
        wait_until(lambda: "web7" in outrider("agents", "list", *home), "the agents at the master")
        outrider("groups", "add", "web", *home)
        outrider("agents", "set-groups", "7", "web", *home)
        wait_until(lambda: json.loads(inventory.read_text())["7"].get("groups") == ["web"], "the group to come back")
        assert json.loads(inventory.read_text())["8"]["name"] == "db8"
        assert program.end() == 0
    assert "Traceback" not in (tmp_path / "out").read_text()


def test_dask_s_tasks_find_the_files_that_they_were_made_for(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "dask_folder.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["generation 2: [2.0, 4.0, 6.0, 8.0]", "generation 3: [3.0, 6.0, 9.0, 12.0]"]


def test_settings_that_do_not_hold_end_an_example_with_their_reason(tmp_path: Path) -> None:
    config = tmp_path / "outrider.toml"
    config.write_text('[link]\nnodes = ["127.0.0.1"]\n')
    with running("service.py", str(config), "127.0.0.1", "0", output=tmp_path / "out") as service:
        wait_until(lambda: bool(service.said()), "the reason")
        assert service.said().startswith("link.key: a worker needs the cluster key")
