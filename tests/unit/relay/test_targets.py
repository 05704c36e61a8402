"""Where a request runs, and how it is shared among nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from outrider.errors import Refusal
from outrider.model import AgentInfo
from outrider.protocol.api import Request
from outrider.relay.targets import Targets, TooManyNodes, runs_here, targets_of
from outrider.store.sqlite.listing import KnownAgent, ListingPart

CONNECTED = ("master01", "worker01", "worker02")


def known(number: int, node: str | None) -> KnownAgent:
    info = AgentInfo(id=number, name=f"a{number}", connection_status="active", node_name=node)
    return KnownAgent(number, 0, None, (), None, groups_unsent=False, info_unsent=False, info=info)


class Lister:
    """Two agents in each part."""

    agents_ = (known(1, "worker01"), known(2, "worker02"), known(3, "worker01"), known(4, "unknown"), known(5, "gone"))

    async def agents(self, after: int = 0) -> ListingPart:
        left = [agent for agent in self.agents_ if agent.id > after]
        return ListingPart(left[:2], more=len(left) > 2)


def request(arguments: dict[str, Any] | None = None, nodes: Sequence[str] = ()) -> Request:
    return Request(call="c", f_kwargs=arguments or {}, request_type="distributed_master", nodes=tuple(nodes))


def share(arguments: dict[str, Any] | None = None, nodes: Sequence[str] = ()) -> Targets:
    return asyncio.run(targets_of(request(arguments, nodes), CONNECTED, Lister(), 4))


def shares(arguments: dict[str, Any]) -> dict[str, Any]:
    return {node: its.f_kwargs for node, its in share(arguments).requests.items()}


@pytest.mark.parametrize(
    ("kind", "from_cluster", "at_master", "at_worker"),
    [
        ("local_any", False, True, True),
        ("local_master", False, True, False),
        ("distributed_master", False, False, False),
        ("distributed_master", True, True, True),
    ],
)
def test_the_rule_of_where_a_request_runs(kind: Any, *, from_cluster: bool, at_master: bool, at_worker: bool) -> None:
    asked = Request(call="c", request_type=kind, from_cluster=from_cluster)
    assert (runs_here(asked, at_master=True), runs_here(asked, at_master=False)) == (at_master, at_worker)


def test_nobody_named_is_everybody() -> None:
    targets = share({"x": 1})
    assert (tuple(targets.requests), targets.one) == (CONNECTED, False)
    assert all(its.from_cluster and its.f_kwargs == {"x": 1} for its in targets.requests.values())
    assert tuple(share({"node_list": "all"}).requests) == CONNECTED
    assert tuple(share({"agent_list": ["all"]}).requests) == CONNECTED
    assert tuple(share({"agent_list": []}).requests) == CONNECTED


@pytest.mark.parametrize("named", [{"node_id": "worker02"}, {"node_list": ["worker02", "worker02"]}])
def test_a_named_node_is_asked_alone_and_does_not_hear_its_name(named: dict[str, Any]) -> None:
    targets = share({**named, "x": 1}, nodes=("worker01",))
    assert {node: its.f_kwargs for node, its in targets.requests.items()} == {"worker02": {"x": 1}}
    assert targets.one


def test_nodes_of_the_request_are_asked_whether_they_are_connected_or_not() -> None:
    targets = share(nodes=("worker01", "elsewhere"))
    assert (tuple(targets.requests), targets.one) == (("worker01", "elsewhere"), False)


@pytest.mark.parametrize(("arguments", "nodes"), [({"node_list": ["a", "b", "c", "d", "e"]}, ()), ({}, tuple("abcde"))])
def test_threat_23_more_nodes_than_there_can_be_are_refused(arguments: dict[str, Any], nodes: tuple[str, ...]) -> None:
    with pytest.raises(TooManyNodes, match=r"a request for 5 nodes: there are 4 at most \(limits\.connections\)"):
        share(arguments, nodes)
    assert len(share({"node_list": list("abcd")}).requests) == 4


def test_agents_go_to_their_nodes_and_what_no_node_has_stays_with_the_master() -> None:
    assert shares({"agent_list": ["001", "002", "003", "004", "005", "000", "077", "x"], "node_list": ["a"]}) == {
        "worker01": {"agent_list": ["001", "003"]},
        "worker02": {"agent_list": ["002"]},
        "master01": {"agent_list": ["004", "000", "077", "x"]},
        "gone": {"agent_list": ["005"]},
    }
    assert shares({"agent_id": "002", "x": 1}) == {"worker02": {"agent_id": "002", "x": 1}}


def test_without_a_store_that_lists_agents_nobody_knows_their_nodes() -> None:
    with pytest.raises(Refusal, match=r"agents\.store = sqlite"):
        asyncio.run(targets_of(request({"agent_list": ["001"]}), CONNECTED, None, 4))
