"""The commands of generations as far as they need no node: what they ask, tables, what a peer may not do to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.client import LocalClient
from outrider.errors import RefusedByPeer
from outrider.protocol.api import Request

ROOT = "ab" * 64
ROWS = [
    {"number": 8, "root": "cd" * 64, "time": 60.5, "files": 1200, "bytes": 4096, "current": False},
    {"number": 9, "root": ROOT, "time": 1_700_000_000, "files": 1201, "bytes": 0, "current": True},
]
SHOWN: dict[str, Any] = {
    "generation": ROWS[1],
    "before": 8,
    "added": ["etc/new"],
    "changed": ["etc/a\x1b[2J"],
    "deleted": ["etc/[red]gone"],
    "more": 1234,
}


class Node:
    """What the commands asked a node, and what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Any = None
        self.asked: list[tuple[str, dict[str, Any], str]] = []

        def call(_: LocalClient, name: str, /, **arguments: Any) -> Any:
            return self._answer(name, arguments, "the node or its master")

        def request(_: LocalClient, one: Request) -> Any:
            return self._answer(one.call, dict(one.f_kwargs), one.request_type)

        monkeypatch.setattr(LocalClient, "call", call)
        monkeypatch.setattr(LocalClient, "request", request)

    def _answer(self, name: str, arguments: dict[str, Any], where: str) -> Any:
        self.asked.append((name, arguments, where))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


def run(*arguments: str, home: Path | str = "/") -> Result:
    return CliRunner().invoke(main, [*arguments, "--home", str(home)], prog_name="outrider")


def told(*arguments: str) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_generations_are_a_table_with_a_mark_at_the_current_one(node: Node) -> None:
    node.answer = ROWS
    lines = told("generations", "list").splitlines()
    assert lines[0].split() == ["NUMBER", "MADE", "FILES", "KEPT", "BYTES", "ROOT"]
    assert lines[1].split() == ["8", "1970-01-01", "00:01:00Z", "1,200", "4,096", "cd" * 8]
    assert lines[2].split() == ["*", "9", "2023-11-14", "22:13:20Z", "1,201", "0", "ab" * 8]
    assert json.loads(told("generations", "list", "--json")) == ROWS
    assert node.asked == [("outrider.generations", {}, "the node or its master")] * 2


def test_what_a_generation_changed_is_a_line_for_each_path_and_no_path_moves_the_cursor(node: Node) -> None:
    node.answer = SHOWN
    assert told("generations", "show", "9").splitlines() == [
        f"generation 9, 2023-11-14 22:13:20Z, 1,201 files, root {ROOT}",
        "+ etc/new",
        "~ etc/a\\x1b[2J",
        "- etc/[red]gone",
        "and 1,234 more",
    ]
    assert json.loads(told("generations", "show", "9", "--json")) == SHOWN
    assert node.asked == [("outrider.generation", {"number": 9}, "the node or its master")] * 2
    node.answer = SHOWN | {"before": None, "added": [], "changed": [], "deleted": [], "more": 0}
    assert told("generations", "show", "9").splitlines()[1:] == ["the one before it is not kept"]


def test_a_master_is_asked_itself_to_go_back(node: Node) -> None:
    node.answer = ROWS[1]
    text = "the tree is that of generation 4 again; as the latest it is generation 9\n"
    assert told("generations", "rollback", "4") == text
    assert json.loads(told("generations", "rollback", "4", "--json")) == ROWS[1]
    assert node.asked == [("outrider.generations_rollback", {"number": 4}, "local_any")] * 2


def test_a_worker_is_asked_itself_to_go_back(node: Node) -> None:
    node.answer = 3
    assert told("rollback").startswith("3 changes taken back; this node waits")
    assert json.loads(told("rollback", "--json")) == {"changes": 3}
    assert node.asked == [("outrider.rollback", {}, "local_any")] * 2


def test_a_step_that_is_held_back_is_approved_at_the_node_itself(node: Node) -> None:
    node.answer = ROOT
    assert told("approve") == f"the step that was held back may delete what it wants (root {ROOT[:16]}...)\n"
    assert json.loads(told("approve", "--json")) == {"root": ROOT}
    assert node.asked == [("outrider.approve", {}, "local_any")] * 2


COMMANDS = [
    ("generations", "list"),
    ("generations", "show", "9"),
    ("generations", "rollback", "9"),
    ("rollback",),
    ("approve",),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_refusal_is_one_line(node: Node, command: tuple[str, ...]) -> None:
    node.answer = RefusedByPeer(1000, "generation 9 is not kept; kept are: none")
    result = run(*command)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert result.stderr == "outrider: generation 9 is not kept; kept are: none [1000]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_where_no_node_runs_a_hint_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(*command, home=tmp_path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "or name its home with --home DIR" in result.stderr


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_what_is_no_number_of_a_generation_is_not_asked_for(node: Node, number: str) -> None:
    for command in ("show", "rollback"):
        assert run("generations", command, "--", number).exit_code == 2
    assert node.asked == []
