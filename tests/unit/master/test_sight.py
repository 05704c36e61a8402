"""Whoever is not there is missed: one that left, and one that has not come since the master started."""

from __future__ import annotations

from typing import Any

from outrider.master.sight import Sight
from outrider.model import NodeInfo
from outrider.settings import Live, Settings
from outrider.status import Status
from outrider.store.peers import Peer
from outrider.world import real_ports


class Session:
    extended = None


class Worker:
    """A member, as much of it as is looked at."""

    def __init__(self, name: str) -> None:
        self.info = NodeInfo(name=name, type="worker", version="4.9.2", address="192.0.2.7")
        self.last_keep_alive = 0.0
        self.session: Any = Session()
        self.status = Status()
        self.status.connected("master-node", 1.0)


def sight(*members: Worker, connections: int = 10) -> Sight:
    node = NodeInfo(name="master-node", type="master", version="4.9.2", address="192.0.2.1")
    live = Live(
        Settings.from_mapping({"limits.connections": connections, "limits.connections_per_address": connections})
    )
    return Sight(node, lambda: members, live=live, ports=real_ports(), status=Status())


def remembered(name: str, type_: Any = "worker") -> Peer:
    return Peer(type=type_, name=name, address="192.0.2.9", version="1.0", certificate="ab", since=1.0)


def seen(at: Sight) -> dict[str, bool]:
    return {node.name: node.connected for node in at.look().nodes}


def test_a_worker_that_the_home_remembers_is_missed_until_it_comes() -> None:
    here = sight(Worker("worker1"))
    here.expect([remembered("worker1"), remembered("worker2"), remembered("other-master", "master")])
    assert seen(here) == {"master-node": True, "worker1": True, "worker2": False}
    (missed,) = (node for node in here.look().nodes if node.name == "worker2")
    assert "outrider peer forget worker2" in missed.why_not
    assert missed.since is None
    assert missed.address == "192.0.2.9"


def test_a_worker_that_came_and_left_is_missed_for_what_ended_its_link() -> None:
    here, worker = sight(), Worker("worker2")
    here.expect([remembered("worker2")])
    here.left(worker, "the stream ended")
    (missed,) = here.look().nodes[1:]
    assert missed.why_not == "the stream ended"
    assert missed.since is not None


def test_no_more_are_missed_than_there_may_be_connections() -> None:
    here = sight(connections=3)
    here.expect([remembered(f"worker{number}") for number in range(9)])
    assert list(seen(here)) == ["master-node", "worker6", "worker7", "worker8"]
