"""``outrider peer`` works on the memory of a home, whether its node runs or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.store.peers import Peer, Peers


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".outrider").mkdir()
    peers = Peers(tmp_path)
    peers.remember(
        Peer(type="master", name="m", address="10.0.0.1:1516", version="0.1.0", certificate="ab" * 32, since=1.7e9)
    )
    peers.remember(
        Peer(type="worker", name="w", address="10.0.0.2", version="\x1b[2J", certificate="cd" * 32, since=1.7e9)
    )
    return tmp_path


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["peer", *words, "--home", str(home)], env={})


def test_the_list_names_everybody(home: Path) -> None:
    head, master, worker = run(home, "list").stdout.splitlines()
    assert head.split() == ["NAME", "TYPE", "ADDRESS", "VERSION", "SINCE", "CERTIFICATE"]
    assert master.split() == ["m", "master", "10.0.0.1:1516", "0.1.0", "2023-11-14", "22:13:20Z", "ab" * 8]
    assert "\\x1b[2J" in worker
    found = json.loads(run(home, "list", "--json").stdout)
    assert [one["certificate"] for one in found] == ["ab" * 32, "cd" * 32]


def test_a_peer_is_forgotten_once(home: Path) -> None:
    first = run(home, "forget", "m")
    assert (first.exit_code, first.stdout) == (0, "forgot the master m at 10.0.0.1:1516\n")
    again = run(home, "forget", "m")
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == "outrider: no peer 'm' is remembered; `outrider peer list` shows who is [OUT-1413]\n"
    assert [peer.name for peer in Peers(home).all()] == ["w"]


def test_a_damaged_memory_is_told_in_one_line(home: Path) -> None:
    (home / ".outrider/peers.json").write_text("{")
    result = run(home, "list")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "is damaged" in result.stderr
