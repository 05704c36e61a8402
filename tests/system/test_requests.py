"""A master and three workers as processes: every route over the nodes' own local sockets, and a node lost half-way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider import LocalClient
from outrider.errors import RefusedByPeer
from outrider.protocol.api import Request
from outrider.protocol.results import AffectedItemsWazuhResult

NODE = "wazuh.cluster:get_node_wrapper"
EVERYONE = ["master-node", "worker1", "worker2", "worker3"]


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, Node]]:
    port = free_port()
    made = {name: Node("worker" if name[0] == "w" else "master", folder / name, port=port) for name in EVERYONE}
    with nodes(*made.values()):
        wait_until(lambda: made["master-node"].said("worker[123] joined") == 3, "all workers")
        wait_until(lambda: all(node.said("listening at") for node in made.values()), "the local sockets")
        yield made


def client(node: Node) -> LocalClient:
    return LocalClient(node.home / "queue/cluster/c-internal.sock", timeout_s=60)


def names(answer: AffectedItemsWazuhResult) -> list[str]:
    return sorted(item["node"] for item in answer.affected_items)


def test_every_route_has_its_answer_and_a_node_that_is_gone_is_a_failed_item(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        for name in ("master-node", "worker1"):
            beside = client(made[name])
            assert names(beside.call(NODE)) == ["master-node"]
            assert names(beside.request(Request(call=NODE, request_type="local_any"))) == [name]
            assert names(beside.call_nodes(NODE, [], {})) == EVERYONE
            assert names(beside.call_nodes(NODE, ["worker1", "worker3"], {})) == ["worker1", "worker3"]
            assert names(beside.call_nodes(NODE, ["worker2"], {})) == ["worker2"]
            with pytest.raises(RefusedByPeer, match="no call named 'os:system'"):
                beside.call("os:system", command="true")
            with pytest.raises(RefusedByPeer, match="No such node is connected"):
                beside.call_nodes(NODE, ["worker9"], {})
        made["worker2"].kill()
        wait_until(lambda: made["master-node"].said("worker2 disconnected") == 1)
        partly = client(made["worker1"]).call_nodes(NODE, ["worker1", "worker2"], {})
        assert names(partly) == ["worker1"]
        assert [(failure.code, ids) for failure, ids in partly.failed] == [(3022, ["worker2"])]
        made["worker1"].terminate()
        made["master-node"].terminate()
    assert sum(node.said("Traceback") for node in made.values()) == 0
