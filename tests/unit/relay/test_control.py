"""The answers of get_nodes and get_health: filters, errors and dates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from outrider.errors import Refusal
from outrider.model import NodeInfo
from outrider.relay.control import WorkerState, health_answer, health_names, nodes_answer
from outrider.status import Outcome, Status


def node(name: str, kind: str = "worker", address: str = "192.0.2.9") -> NodeInfo:
    return NodeInfo(name=name, type=kind, version="4.9.2", address=address)


MASTER = node("head", "master", "192.0.2.1")
NODES = [MASTER, node("w1", address="192.0.2.7"), node("w2", address="192.0.2.5"), node("spare")]


def ask(**arguments: Any) -> tuple[list[str], int]:
    answer = json.loads(nodes_answer(json.dumps(arguments).encode(), NODES))
    return [item["name"] for item in answer["items"]], answer["totalItems"]


def code(**arguments: Any) -> int:
    with pytest.raises(Refusal) as refused:
        ask(**arguments)
    return refused.value.code


@pytest.mark.parametrize(
    ("arguments", "names", "total"),
    [
        ({}, ["head", "w1", "w2", "spare"], 4),
        ({"filter_node": "w2"}, ["w2"], 1),
        ({"filter_node": ["spare", "w1"]}, ["w1", "spare"], 2),
        ({"filter_type": "worker"}, ["w1", "w2", "spare"], 3),
        ({"filter_type": "master"}, ["head"], 1),
        ({"offset": 1, "limit": 2}, ["w1", "w2"], 4),
        ({"sort": {"fields": ["ip"], "order": "asc"}}, ["head", "w2", "w1", "spare"], 4),
        ({"sort": {"fields": ["type", "name"], "order": "desc"}}, ["w2", "w1", "spare", "head"], 4),
        ({"search": {"value": "W", "negation": False}}, ["w1", "w2", "spare"], 3),
        ({"search": {"value": "0.2.5", "negation": True}}, ["head", "w1", "spare"], 3),
    ],
)
def test_every_argument_of_get_nodes_does_what_it_says(arguments: Any, names: list[str], total: int) -> None:
    assert ask(**arguments) == (names, total)


def test_selected_fields_come_alone_and_distinct_rows_once() -> None:
    answer = json.loads(nodes_answer(b'{"select": ["version", "type"], "distinct": true}', NODES))
    assert answer["items"] == [{"type": "master", "version": "4.9.2"}, {"type": "worker", "version": "4.9.2"}]
    assert answer["totalItems"] == 2


def test_wrong_arguments_have_the_codes_of_the_specification() -> None:
    assert code(select=["key"]) == 1724
    assert code(sort={"fields": ["key"], "order": "asc"}) == 1724
    assert code(filter_type="client") == 1728
    assert code(filter_node="w3") == 1730
    assert code(filter_node=["w1", "w3"]) == 1730
    assert code(offset=-1) == 1000
    assert code(nodes=["w1"]) == 1000


def health(names: bytes, *workers: WorkerState) -> Any:
    return json.loads(health_answer(health_names(names), MASTER, 3, workers))


def state(name: str, status: Status) -> WorkerState:
    return WorkerState(
        node(name), status.snapshot(), integrity_free=False, agent_info_free=True, keep_alive=1.5, agents=None
    )


def test_a_worker_that_has_just_come_has_done_nothing_yet() -> None:
    status = health(b"null", state("w1", Status()))["nodes"]["w1"]["status"]
    nothing = {"date_start": "n/a", "date_end": "n/a", "n_synced_chunks": 0}
    assert status == {
        "sync_integrity_free": False,
        "last_check_integrity": {"date_start_master": "n/a", "date_end_master": "n/a"},
        "last_sync_integrity": {
            "date_start_master": "n/a",
            "date_end_master": "n/a",
            "total_extra_valid": 0,
            "total_files": {"missing": 0, "shared": 0, "extra": 0, "extra_valid": 0},
        },
        "sync_agent_info_free": True,
        "last_sync_agentinfo": {"date_start_master": "n/a", "date_end_master": "n/a", "n_synced_chunks": 0},
        "last_sync_agentgroup": nothing,
        "last_sync_full_agentgroup": nothing,
        "last_keep_alive": "1970-01-01T00:00:01.500000Z",
    }


def test_what_a_worker_has_done_stands_with_its_dates() -> None:
    status = Status()
    files = {"missing": 1, "shared": 2, "extra": 3}
    status.finished("integrity_sync", Outcome(ok=True, started=10, seconds=0.25, counts=files))
    status.finished("agent_info", Outcome(ok=True, started=20, seconds=2, counts={"chunks": 7}))
    told = health(b'["w1"]', state("w1", status))["nodes"]["w1"]["status"]
    assert told["last_sync_integrity"] == {
        "date_start_master": "1970-01-01T00:00:10.000000Z",
        "date_end_master": "1970-01-01T00:00:10.250000Z",
        "total_extra_valid": 0,
        "total_files": files,
    }
    assert told["last_sync_agentinfo"]["date_end_master"] == "1970-01-01T00:00:22.000000Z"
    assert told["last_sync_agentinfo"]["n_synced_chunks"] == 7


@pytest.mark.parametrize("names", [b"null", b"{}", b"[]"])
def test_health_of_all_has_the_master_with_its_agents_and_counts_the_workers(names: bytes) -> None:
    answer = health(names, state("w1", Status()), state("w2", Status()))
    assert answer["n_connected_nodes"] == 2
    assert set(answer["nodes"]) == {"w1", "w2", "head"}
    assert answer["nodes"]["head"] == {
        "info": {"name": "head", "type": "master", "version": "4.9.2", "ip": "192.0.2.1", "n_active_agents": 3}
    }


def test_health_of_some_names_them_alone_and_refuses_a_stranger() -> None:
    answer = health(b'["head"]', state("w1", Status()))
    assert (list(answer["nodes"]), answer["n_connected_nodes"]) == (["head"], 0)
    with pytest.raises(Refusal) as refused:
        health(b'["w9"]', state("w1", Status()))
    assert refused.value.code == 1730
    with pytest.raises(ValueError, match="Expected"):
        health_names(b"3")
