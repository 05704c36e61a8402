"""The calls of every node: the recorded ones with results of the recorded shapes, and our own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.recordings.vectors import session
from tests.support.loop import EPOCH, run
from tests.support.relay import context_of, settings_of

from outrider.model import AgentInfo, GroupAssignment, NodeInfo
from outrider.protocol.api import Request, decode_request
from outrider.protocol.faults import Failure
from outrider.protocol.results import AffectedItemsWazuhResult, WazuhResult, decode_result, revive
from outrider.relay.builtin import builtin
from outrider.relay.calls import Calls
from outrider.settings import Live
from outrider.store.daemons import DAEMONS
from outrider.store.sqlite import SqliteStore


def recorded() -> dict[str, tuple[dict[str, Any], Any]]:
    """Arguments and result of each recorded call, by its name."""
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    strings: dict[bytes, bytes] = {}
    found: dict[str, tuple[dict[str, Any], Any]] = {}
    for exchange in session():
        command, payload = exchange.name.split(" ")[0], exchange.payload
        if command == "dapi":
            number, text = payload.split(b" ", 1)
            request = decode_request(text)
            calls[number.decode()] = (request.call, request.f_kwargs)
        elif command == "str_upd":
            name, text = payload.split(b" ", 1)
            strings[name] = text
        elif command == "dapi_res":
            number, name = payload.split(b" ")
            call, arguments = calls[number.decode()]
            found[call] = (arguments, json.loads(strings[name]))
    return found


AGENTS = [
    AgentInfo(
        id=number,
        name=f"agent00000{number}",
        connection_status="active" if number < 8 else "disconnected",
        ip=f"10.0.0.{number}",
        version="Wazuh v4.9.2",
        node_name="worker01",
        manager_host="worker01",
        os_name="Ubuntu",
        os_arch="x86_64",
        config_sum="c",
        merged_sum="m",
        last_keepalive=1_700_000_000,
        group_config_status="synced",
        status_code=0,
    )
    for number in range(1, 9)
]
"""As many as there were in the recorded session."""


@asynccontextmanager
async def calls_of(home: Path, *, store: bool = True) -> AsyncIterator[Any]:
    """Ask the calls of a node whose home and store are real."""
    table = builtin()
    plain = context_of(table, settings_of(home))
    kept = SqliteStore(home / "agents.db", plain.ports.threads, wall=plain.ports.wall) if store else None
    if kept is not None:
        await kept.put(AGENTS)
        await kept.add_groups(["default", "web"])
        await kept.set_groups([GroupAssignment(1, ("default", "web"))])
    context = context_of(table, settings_of(home), agents=kept)
    calls = Calls(table, context, Live(context.settings))

    async def ask(name: str, **arguments: Any) -> Any:
        return decode_result(await calls.answer(Request(call=name, f_kwargs=arguments), "me"))

    try:
        yield ask
    finally:
        if kept is not None:
            await kept.close()


def asked(home: Path, name: str, *, store: bool = True, **arguments: Any) -> Any:
    async def story() -> Any:
        async with calls_of(home, store=store) as ask:
            return await ask(name, **arguments)

    return run(story())


def test_every_recorded_call_is_in_the_table_and_takes_the_recorded_arguments(tmp_path: Path) -> None:
    assert len(recorded()) == 4
    for name, (arguments, result) in recorded().items():
        answer = asked(tmp_path, name, **arguments)
        assert type(answer) is type(decode_result(json.dumps(result).encode()))
        assert not isinstance(answer, Failure)


def test_the_table_is_what_the_recordings_hold_and_ours() -> None:
    ours = {name for name in builtin() if name.startswith("outrider.")}
    assert set(builtin()) - ours == {*recorded(), "wazuh.cluster:get_node_wrapper"}
    assert ours == {"outrider.calls", "outrider.node", "outrider.nodes", "outrider.ping", "outrider.status"}


def test_get_agents_has_the_recorded_shape(tmp_path: Path) -> None:
    arguments, result = recorded()["wazuh.agent:get_agents"]
    theirs = decode_result(json.dumps(result).encode())
    ours = asked(tmp_path, "wazuh.agent:get_agents", **arguments)
    assert isinstance(ours, AffectedItemsWazuhResult)
    assert ours.total_affected_items == theirs.total_affected_items == 9
    assert [item["id"] for item in ours.affected_items] == ["000", "001", "002"]
    one, their_one = ours.affected_items[1], theirs.affected_items[1]
    assert set(one) == set(their_one) - {"registerIP"}
    assert set(one["os"]) < set(their_one["os"])
    assert {type(one[name]) for name in one} == {type(their_one[name]) for name in one}
    assert one["group"] == ["default", "web"]
    assert revive(one["lastKeepAlive"]) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (ours.all_msg, ours.some_msg, ours.none_msg) == (theirs.all_msg, theirs.some_msg, theirs.none_msg)


def test_the_overview_has_the_recorded_shape(tmp_path: Path) -> None:
    arguments, result = recorded()["wazuh.core.agent:Agent.get_agents_overview"]
    theirs = decode_result(json.dumps(result).encode())
    ours = asked(tmp_path, "wazuh.core.agent:Agent.get_agents_overview", **arguments)
    assert isinstance(ours, WazuhResult)
    assert ours.result["totalItems"] == theirs.result["totalItems"] == 9
    mine = ours.result["items"][1:8]
    assert mine == [item for item in theirs.result["items"] if item["id"] in {row["id"] for row in mine}]


def test_agents_are_filtered_selected_and_cut(tmp_path: Path) -> None:
    def ids(**arguments: Any) -> list[str]:
        answer = asked(tmp_path, "wazuh.agent:get_agents", select=["id"], **arguments)
        return [item["id"] for item in answer.affected_items]

    assert ids(filters={"status": "disconnected"}) == ["008"]
    assert ids(filters={"status": ["disconnected", "active"], "node_name": "worker01"}, offset=6) == ["007", "008"]
    assert ids(filters={"group": "web"}) == ["001"]
    assert ids(offset=3, limit=2) == ["003", "004"]
    assert ids(limit=None)[-1] == "008"


def test_agents_that_are_not_there_are_failed_items(tmp_path: Path) -> None:
    answer = asked(tmp_path, "wazuh.agent:get_agents", agent_list=["002", "099"])
    assert [item["id"] for item in answer.affected_items] == ["002"]
    assert answer.total_failed_items == 1
    ((failure, ids),) = answer.failed
    assert (failure.name, ids) == ("WazuhResourceNotFound", ["099"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"select": ["internal_key"]}, "Error 1724 - Not a field that can be selected: 'internal_key'"),
        ({"filters": {"os": "x"}}, "filter 'os'"),
        ({"limit": 0}, "`limit`"),
        ({"sort": {}}, "unknown argument `sort`"),
    ],
)
def test_what_agents_cannot_be_asked(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    answer = asked(tmp_path, "wazuh.agent:get_agents", **arguments)
    assert isinstance(answer, Failure)
    assert words in str(answer)


def test_a_node_without_a_store_says_so(tmp_path: Path) -> None:
    answer = asked(tmp_path, "wazuh.agent:get_agents", store=False)
    assert "master01 keeps no store of agents" in str(answer)


def test_daemons_are_told_under_both_names(tmp_path: Path) -> None:
    plain = asked(tmp_path, "wazuh.core.manager:status")
    items = asked(tmp_path, "wazuh.manager:get_status")
    assert items.affected_items == [plain.result]
    assert (
        tuple(plain.result)
        == DAEMONS
        == tuple(recorded()["wazuh.core.manager:status"][1]["__wazuh_result__"]["__object__"]["result"])
    )
    theirs = decode_result(json.dumps(recorded()["wazuh.manager:get_status"][1]).encode())
    assert (items.all_msg, items.some_msg, items.none_msg) == (theirs.all_msg, theirs.some_msg, theirs.none_msg)


def test_the_node_wrapper_of_8_10(tmp_path: Path) -> None:
    answer = asked(tmp_path, "wazuh.cluster:get_node_wrapper")
    assert answer.affected_items == [{"node": "master01", "cluster": "wazuh", "type": "master"}]
    assert (answer.all_msg, answer.none_msg) == ("All selected information was returned", "No information was returned")


def test_our_own_calls(tmp_path: Path) -> None:
    assert asked(tmp_path, "outrider.ping", text="x") == {"text": "x", "time": EPOCH + 0}
    node = asked(tmp_path, "outrider.node")
    assert (node["name"], node["type"], node["cluster"], node["wire_version"]) == (
        "master01",
        "master",
        "wazuh",
        "4.9.2",
    )
    assert [NodeInfo(**one).name for one in asked(tmp_path, "outrider.nodes")] == ["master01", "worker01"]
    assert asked(tmp_path, "outrider.status")["link"]["connected"] is False
    assert asked(tmp_path, "outrider.calls")["outrider.ping"] == "outrider.ping(text: str = '')"


def test_no_call_can_see_a_secret(tmp_path: Path) -> None:
    async def story() -> None:
        context = context_of(builtin(), settings_of(tmp_path))
        assert (context.settings.link.key, context.settings.link.previous_keys) == (None, ())

    run(story())
