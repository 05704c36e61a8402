"""``outrider key``: what it asks the node, what it shows, and that it goes on over nobody's head."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.client import LocalClient
from outrider.errors import ConnectionLostError
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

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], *before: dict[str, Any]) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        first = list(before)

        def request(_: LocalClient, request: Request) -> dict[str, Any]:
            assert request.request_type == "local_any", "this node, whatever its role"
            self.asked.append((request.call, request.f_kwargs))
            return first.pop(0) if first else answer

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


SPREADING = [
    {**WINDOW, "phase": "adding", "workers": [{"name": "w", "state": "follows", "why": ""}, OLD_PEER]},
    {**WINDOW, "phase": "sealing", "workers": [{"name": "w", "state": "followed", "why": ""}, OLD_PEER]},
]


def test_who_waits_is_told_when_all_workers_seal_with_the_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["outrider.cli.key"]
    monkeypatch.setattr(module, "_LOOKS_S", 0)
    node = Node(monkeypatch, WINDOW, *SPREADING, SPREADING[1])
    result = run("rotate", "--yes", "--wait")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "rotation to 0a0a0a0a: window until" in result.stdout
    assert [call for call, _ in node.asked] == [
        "outrider.key_status",
        "outrider.key_rotate",
        *["outrider.key_status"] * 2,
    ]


def test_who_waits_is_told_when_only_those_are_waited_for_who_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["outrider.cli.key"], "_LOOKS_S", 0)
    stuck = {**SPREADING[1], "phase": "adding"}
    Node(monkeypatch, stuck, WINDOW)
    result = run("rotate", "--wait")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "old\\x1b[2J cannot learn the new key: it speaks the base protocol [OUT-1109]" in result.stderr
    assert "to go on nevertheless: outrider key rotate --yes; to take it back: outrider key abort" in result.stderr


def test_who_waits_bears_with_one_that_cannot_only_while_it_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["outrider.cli.key"], "_LOOKS_S", 0)
    joining = [{**SPREADING[1], "phase": "adding"}] * 19
    Node(monkeypatch, WINDOW, WINDOW, *joining, SPREADING[0], *joining)
    assert run("rotate", "--wait").exit_code == 0


def test_who_waits_for_a_master_that_has_gone_is_told_that_the_rotation_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["outrider.cli.key"], "_LOOKS_S", 0)
    asked: list[str] = []

    def request(_: LocalClient, request: Request) -> dict[str, Any]:
        asked.append(request.call)
        if len(asked) > 2:
            raise ConnectionLostError("the node has ended")
        return SPREADING[0]

    monkeypatch.setattr(LocalClient, "request", request)
    result = run("rotate", "--yes", "--wait")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the node has ended; the rotation goes on when the master is back" in result.stderr


def test_workers_that_have_followed_are_counted_of_those_that_can() -> None:
    module = sys.modules["outrider.cli.key"]
    assert module._count_of(SPREADING[0]) == (0, 1, "adding: 0 of 1 worker")
    assert module._count_of(SPREADING[1]) == (1, 1, "sealing: 1 of 1 worker")
    assert module._count_of({"phase": "adding"}) == (0, None, "adding: 0 of 0 workers")


def test_who_interrupts_the_wait_is_told_that_the_rotation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, SPREADING[0])

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["outrider.cli.key"].time, "sleep", interrupted)
    result = run("rotate", "--yes", "--wait")
    assert (result.exit_code, result.stdout) == (130, "")
    goes_on = "what the master has begun goes on; `outrider key status` shows how far it is"
    assert result.stderr == f"outrider: interrupted: {goes_on} [OUT-1907]\n"
    assert node.asked[-1][0] == "outrider.key_rotate"
