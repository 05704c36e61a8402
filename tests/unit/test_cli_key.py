"""``outrider key``: what it asks the node, what it shows, and that it goes on over nobody's head."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.client import LocalClient
from outrider.protocol.api import Request

WINDOW: dict[str, Any] = {
    "holds": ["0a0a0a0a", "0b0b0b0b"],
    "cannot": "",
    "phase": "window",
    "new": "0a0a0a0a",
    "old": ["0b0b0b0b"],
    "until": 1_700_000_000,
    "workers": [{"name": "worker1", "state": "followed", "why": ""}],
}
OLD_PEER = {"name": "old\x1b[2J", "state": "cannot", "why": "it speaks the base protocol"}


class Node:
    """What the commands asked, and what a node answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

        def request(_: LocalClient, request: Request) -> dict[str, Any]:
            assert request.request_type == "local_any", "this node, whatever its role"
            self.asked.append((request.call, request.f_kwargs))
            return answer

        monkeypatch.setattr(LocalClient, "request", request)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["key", *arguments], prog_name="outrider")


def test_the_status_is_shown_as_lines_and_as_data(monkeypatch: pytest.MonkeyPatch) -> None:
    Node(monkeypatch, WINDOW)
    assert [line.rstrip() for line in run("status").stdout.splitlines()] == [
        "seals with 0a0a0a0a, opens 0b0b0b0b as well",
        "rotation to 0a0a0a0a: window until 2023-11-14 22:13:20Z",
        "WORKER   STATE     WHY",
        "worker1  followed",
    ]
    assert json.loads(run("status", "--json").stdout) == WINDOW


def test_a_worker_s_status_has_no_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    Node(monkeypatch, {"holds": ["0a"], "cannot": "it is in its settings"})
    assert run("status").stdout.splitlines() == ["seals with 0a", "cannot be rotated here: it is in its settings"]


def test_a_rotation_is_asked_for_with_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, WINDOW)
    assert run("rotate", "--window", "60").exit_code == 0
    assert node.asked[1:] == [("outrider.key_rotate", {"anyway": False, "window_s": 60.0})]
    run("abort")
    assert node.asked[-1] == ("outrider.key_abort", {})


def test_who_cannot_learn_it_is_listed_and_without_a_terminal_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, {**WINDOW, "workers": [OLD_PEER]})
    result = run("rotate")
    assert result.exit_code == 1
    assert "old\\x1b[2J cannot learn the new key: it speaks the base protocol" in result.stderr
    assert "outrider key rotate --yes" in result.stderr
    assert [call for call, _ in node.asked] == ["outrider.key_status"]
    assert run("rotate", "--yes").exit_code == 0
    assert node.asked[-1] == ("outrider.key_rotate", {"anyway": True})


@pytest.mark.parametrize(("answer", "rotated"), [("y\n", True), ("n\n", False)])
def test_at_a_terminal_a_person_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str, *, rotated: bool) -> None:
    node = Node(monkeypatch, {**WINDOW, "workers": [OLD_PEER]})
    monkeypatch.setattr(sys.modules["outrider.cli.key"], "at_a_terminal", lambda: True)
    CliRunner().invoke(main, ["key", "rotate"], input=answer)
    assert ("outrider.key_rotate" in [call for call, _ in node.asked]) == rotated
