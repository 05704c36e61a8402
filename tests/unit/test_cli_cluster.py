"""The commands that ask a running node, as far as they need none: arguments, tables, what a peer may not do to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.cli.status import _stands
from outrider.client import Health, LocalClient
from outrider.errors import RefusedByPeer
from outrider.model import NodeInfo
from outrider.protocol.api import Request
from outrider.protocol.faults import Failure
from outrider.protocol.results import AffectedItemsWazuhResult, Unhandled, WazuhResult
from outrider.status import Retrying, Standing, Status


def run(*arguments: str, home: Path | str = "/") -> Result:
    return CliRunner().invoke(main, [*arguments, "--home", str(home)], prog_name="outrider")


@pytest.mark.parametrize("command", [("nodes",), ("health",), ("status",), ("call", "outrider.ping")])
def test_where_no_node_runs_a_hint_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(*command, home=tmp_path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "start one with outrider worker or outrider master, or name its home with --home DIR" in result.stderr


def test_names_of_peers_cannot_move_the_cursor_or_be_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = NodeInfo(name="[red]w\x1b[2J1", type="worker", version="4.9.2", address="192.0.2.2")
    monkeypatch.setattr(LocalClient, "nodes", lambda _: [evil])
    assert "[red]w\\x1b[2J1  worker" in run("nodes").stdout
    assert json.loads(run("nodes", "--json").stdout)[0]["name"] == evil.name


def test_health_shows_moments_without_parts_of_seconds_and_a_dash_for_never(monkeypatch: pytest.MonkeyPatch) -> None:
    info: dict[str, Any] = {
        "name": "w1",
        "type": "worker",
        "version": "4.9.2",
        "ip": "192.0.2.2",
        "n_active_agents": None,
    }
    status = {
        "last_check_integrity": {"date_end_master": "2026-11-23T21:21:55.467805Z"},
        "last_sync_integrity": {"date_end_master": "n/a"},
    }
    head: dict[str, Any] = {"info": {**info, "name": "head", "type": "master", "n_active_agents": 3}}
    nodes: dict[str, dict[str, Any]] = {"w1": {"info": info, "status": status}, "head": head}
    monkeypatch.setattr(LocalClient, "health", lambda *_: Health(connected=1, nodes=nodes))
    lines = run("health").stdout.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith(("head", "w1"))] == [
        ["head", "master", "3"],
        ["w1", "worker", "-"],
    ]
    assert "2026-11-23 21:21:55  -" in run("health").stdout


class Asked:
    """What the command asked a client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
        self.calls: list[Any] = []

        def call(_: LocalClient, name: str, /, **arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return answer

        def call_nodes(_: LocalClient, name: str, nodes: tuple[str, ...], arguments: dict[str, Any]) -> Any:
            self.calls.append((name, nodes, arguments))
            return answer

        monkeypatch.setattr(LocalClient, "call", call)
        monkeypatch.setattr(LocalClient, "call_nodes", call_nodes)


def test_arguments_are_json_where_they_are_and_text_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, WazuhResult({"total": 1}))
    result = run("call", "a.b", "limit=5", "name=web", 'list=["x"]', "none=null", "equal=a=b", "self=1")
    given = {"limit": 5, "name": "web", "list": ["x"], "none": None, "equal": "a=b", "self": 1}
    assert (result.exit_code, asked.calls) == (0, [("a.b", given)])
    assert run("call", "a.b", "--node", "w1", "--node", "w2").exit_code == 0
    assert run("call", "a.b", "--all").exit_code == 0
    assert asked.calls[1:] == [("a.b", ("w1", "w2"), {}), ("a.b", (), {})]


def test_items_that_failed_are_errors_after_those_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [(Failure(code=1701, name="WazuhResourceNotFound"), ["007"])]
    answer = AffectedItemsWazuhResult(
        affected_items=[{"id": "001", "os": {"name": "x"}}], total_affected_items=1, total_failed_items=1, failed=failed
    )
    Asked(monkeypatch, answer)
    result = run("call", "wazuh.agent:get_agents")
    assert result.exit_code == 1
    assert '001  {"name":"x"}' in result.stdout
    assert "1 in all, 1 failed" in result.stdout
    assert "Error 1701" in result.stderr
    assert result.stderr.rstrip().endswith("007 [OUT-1903]")
    assert json.loads(run("call", "wazuh.agent:get_agents", "--json").stdout)["affected_items"][0]["id"] == "001"


def test_a_node_that_failed_among_others_is_an_error_after_what_the_others_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = Failure.of_cluster(3022, "w2\x1b[2J")
    Asked(monkeypatch, {"w1": {"text": "hi"}, "w2": away, "w3": Unhandled("OSError", ["disk"])})
    result = run("call", "outrider.ping", "--node", "w1", "--node", "w2", "--node", "w3")
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()] == [["NAME", "VALUE"], ["w1", '{"text":"hi"}']]
    first, second = result.stderr.splitlines()
    assert first == r"outrider: w2: Error 3022 - No such node is connected: w2\x1b[2J [OUT-1903]"
    assert "OSError" in second
    result = run("call", "outrider.ping", "--all", "--json")
    assert (result.exit_code, json.loads(result.stdout)["w2"]["code"]) == (1, 3022)


def test_half_a_letter_and_what_a_terminal_obeys_are_shown_and_end_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, {"a\ud800": ["\udfff"], "b": "\x1b[2J"})
    shown = run("call", "a.b").stdout
    assert r"a\ud800" in shown
    assert r"\x1b[2J" in shown
    assert json.loads(run("call", "a.b", "--json").stdout) == {"a\ud800": ["\udfff"], "b": "\x1b[2J"}

    def refuse(*_: Any, **__: Any) -> None:
        raise RefusedByPeer(4000, "no\ud800\x1b[2J")

    monkeypatch.setattr(LocalClient, "call", refuse)
    assert run("call", "a.b").stderr.endswith("no\\ud800\\x1b[2J [4000]\n")
    (error,) = json.loads(run("call", "a.b", "--json").stderr)["errors"]
    assert error["text"].endswith("no\ud800\x1b[2J")
    assert asked.calls


ODD: list[Any] = [{"items": 5}, {"items": None, "totalItems": "x"}, {"items": {"a": 1}}, {"totalItems": 1}]


@pytest.mark.parametrize("answer", [None, 5, [], [1, "x"], {}, {"a": 1}, [{"a": 1}, {"b": 2}], {"items": []}, *ODD])
def test_any_answer_can_be_shown(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    Asked(monkeypatch, answer)
    assert run("call", "a.b").exit_code == 0
    assert json.loads(run("call", "a.b", "--json").stdout) == answer


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RefusedByPeer(1730, "w9")

    monkeypatch.setattr(LocalClient, "health", refuse)
    result = run("health", "w9")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)


def test_status_asks_the_node_itself_and_shows_its_link_rounds_and_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    who = {"name": "w1", "type": "worker", "cluster": "wazuh", "wire_version": "4.9.2", "outrider": "0.1.0"}
    outcome = {"ok": True, "started": 0, "seconds": 0.25, "counts": {"written": 3}, "detail": ""}
    how = {
        "link": {"connected": True, "peer": "192.0.2.1", "since": 60, "reconnects": 2, "reason": ""},
        "counters": {"frames": 7},
        "limits_hit": {"limits.tasks": 1},
        "kinds": {"integrity": {"succeeded": 4, "failed": 1, "last": outcome, "last_good": None}},
        "notes": {"key": "rotation to 0a0a0a0a: adding"},
    }
    asked: list[Request] = []

    def request(_: LocalClient, one: Request) -> Any:
        asked.append(one)
        return who if one.call == "outrider.node" else how

    monkeypatch.setattr(LocalClient, "request", request)
    shown = run("status").stdout
    assert {one.request_type for one in asked} == {"local_any"}
    for text in ("w1 worker wazuh 4.9.2", "connected to 192.0.2.1 since 1970-01-01 00:01:00, 2 reconnects"):
        assert text in shown
    for row in (["integrity", "4", "1", "1970-01-01"], ["frames", "7"], ["limit", "hit:", "limits.tasks", "1"]):
        assert any(line.split()[: len(row)] == row for line in shown.splitlines()), row
    assert "key: rotation to 0a0a0a0a: adding" in shown.splitlines()
    assert json.loads(run("status", "--json").stdout)["status"]["counters"] == {"frames": 7}
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    for form in ((), ("--json",)):
        looks.clear()
        result = run("status", "--watch", "--interval", "2", *form)
        assert (result.exit_code, looks) == (0, [2, 2, 2])
    assert result.stdout.count('"frames": 7') == 3


def test_the_status_shows_what_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    status = Status()
    status.retrying(
        "Agent-info sync",
        Retrying(
            nature="temporary",
            failures=37,
            since=1_700_000_000,
            reason="cannot reach wazuh-db\x1b[2J",
            next_try=1_700_000_060,
            awaits="socket /srv/wdb",
        ),
    )
    answers = {"outrider.node": {"name": "w1", "type": "worker"}, "outrider.status": status.snapshot()}
    monkeypatch.setattr(LocalClient, "request", lambda _, asked: msgspec.to_builtins(answers[asked.call]))
    lines = run("status").stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("RETRIES"))
    assert [word.strip() for word in lines[first + 1].split("  ") if word] == [
        "Agent-info sync",
        "37",
        "2023-11-14 22:13:20",
        "2023-11-14 22:14:20",
        "temporary",
        "socket /srv/wdb",
        "cannot reach wazuh-db\\x1b[2J",
    ]
    told = json.loads(run("status", "--json").stdout)["status"]["retries"]["Agent-info sync"]
    assert (told["failures"], told["awaits"]) == (37, "socket /srv/wdb")
    status.retrying("Agent-info sync", None)
    answers["outrider.status"] = status.snapshot()
    assert "RETRIES" not in run("status").stdout


@pytest.mark.parametrize(
    ("standing", "line"),
    [
        (Standing(), "not in step since -: no round has ended yet"),
        (
            Standing(number=7, files=3004, in_step=True, since=1_700_000_000.0, reason=""),
            "in step since 2023-11-14 22:13:20, generation 7, 3,004 files",
        ),
        (
            Standing(number=6, since=0.0, reason="held back"),
            "not in step since 1970-01-01 00:00:00, generation 6: held back",
        ),
    ],
)
def test_status_says_where_the_tree_stands(standing: Standing, line: str) -> None:
    assert _stands(standing) == line
