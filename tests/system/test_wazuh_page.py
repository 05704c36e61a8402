"""The page on replacing Wazuh nodes: its commands run on files such as those nodes have, and what they make runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import KEY, free_port, wait_until

PAGE = Path(__file__).parents[2] / "docs/wazuh.md"
CONF = """\
<!-- the file of a node -- as it ships -->
<ossec_config>
  <global><email_notification>no</email_notification></global>
  <cluster>
    <name>wazuh</name>
    <node_name>{name}</node_name>
    <node_type>{role}</node_type>
    <key>{key}</key>
    <port>{port}</port>
    <bind_addr>127.0.0.1</bind_addr>
    <nodes><node>127.0.0.1</node></nodes>
    <hidden>no</hidden>
    <disabled>no</disabled>
  </cluster>
</ossec_config>
<ossec_config><localfile><command>last -n 20 && true</command></localfile></ossec_config>
"""
TABLE = {"intervals": {"worker": {"keep_alive": 30}}, "distributed_api": {"enabled": True}}


def commands(where: str) -> list[str]:
    blocks = re.findall(rf"```sh\n# on the {where}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [command for block in blocks for command in block.splitlines()]


def home_of(base: Path, role: str, port: int) -> Path:
    """The home of a Wazuh node, as far as the page has to do with it."""
    home = base / role
    (home / "etc/rules").mkdir(parents=True)
    (home / "queue/cluster").mkdir(parents=True)
    (home / "etc/ossec.conf").write_text(CONF.format(name=f"{role}-node", role=role, key=KEY, port=port), "utf-8")
    (home / "cluster.json").write_text(json.dumps(TABLE), "utf-8")
    return home


def run(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", *command.replace("/var/ossec", str(home)).split()]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    return subprocess.run(argv, capture_output=True, text=True, env=clean, cwd=home, check=False, timeout=60)


@contextmanager
def running(*homes: Path) -> Iterator[None]:
    processes = []
    try:
        for home in homes:
            with (home.parent / f"{home.name}.log").open("ab") as log:
                argv = [sys.executable, "-m", "outrider", home.name, "--config", "outrider.toml"]
                processes.append(subprocess.Popen(argv, cwd=home, stdout=log, stderr=log))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_the_commands_of_the_page_make_a_cluster_of_two_nodes() -> None:
    with tempfile.TemporaryDirectory(prefix="o") as base:  # a short path: the local socket's has a limit
        port = free_port()
        homes = {role: home_of(Path(base), role, port) for role in ("master", "worker")}
        for role, home in homes.items():
            tried = commands(role)
            assert len(tried) >= 2
            for command in tried:
                done = run(home, command)
                assert (done.returncode, "Traceback" in done.stderr) == (0, False), (command, done.stderr)
        rule = homes["master"] / "etc/rules/local_rules.xml"
        rule.write_text("<group/>", "utf-8")
        with running(*homes.values()):
            copy = homes["worker"] / "etc/rules/local_rules.xml"
            wait_until(lambda: copy.read_text("utf-8") == "<group/>", "the rule at the worker")
            assert "last -n 20" in (homes["worker"] / "etc/ossec.conf").read_text("utf-8")
            for role, home in homes.items():
                tried = commands(f"{role}, running")
                assert len(tried) >= 3
                for command in tried:
                    done = run(home, command)
                    # The doctor finds, rightly, that no wazuh-db runs here.
                    fine = {0, 1} if "doctor" in command else {0}
                    assert (done.returncode in fine, "Traceback" in done.stderr) == (True, False), (
                        command,
                        done.stderr,
                    )
                    assert done.stdout.strip(), command
