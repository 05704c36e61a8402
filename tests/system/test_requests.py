"""A master and three workers as processes: every route over the nodes' own local sockets, and all that can go wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.support import brought
from tests.support.daemon import Daemon
from tests.support.local_clients import like_c
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider import LocalClient
from outrider.errors import RefusedByPeer
from outrider.protocol.api import Request
from outrider.protocol.results import AffectedItemsWazuhResult

NODE = "wazuh.cluster:get_node_wrapper"
EVERYONE = ["master-node", "worker1", "worker2", "worker3"]

Cluster = dict[str, Node]


@contextmanager
def cluster(folder: Path, **environment: str) -> Iterator[Cluster]:
    """Nodes that know the calls of ``tests.support.brought``, all joined."""
    port = free_port()
    made = {name: Node("worker" if name[0] == "w" else "master", folder / name, port=port) for name in EVERYONE}
    for node in made.values():
        node.environment = {**brought.install(folder / "installed"), **environment}
    with nodes(*made.values()):
        wait_until(lambda: made["master-node"].said("worker[123] joined") == 3, "all workers")
        wait_until(lambda: all(node.said("listening at") for node in made.values()), "the local sockets")
        wait_until(lambda: all(reaches_the_master(node) for node in made.values()), "the way to the master")
        yield made


def socket_of(node: Node) -> Path:
    return node.home / "queue/cluster/c-internal.sock"


def client(node: Node) -> LocalClient:
    return LocalClient(socket_of(node), timeout_s=60)


def names(answer: AffectedItemsWazuhResult) -> list[str]:
    return sorted(item["node"] for item in answer.affected_items)


def reaches_the_master(node: Node) -> bool:
    """A master counts a worker as joined a little before that worker knows it."""
    try:
        return names(client(node).call(NODE)) == ["master-node"]
    except RefusedByPeer:
        return False


@contextmanager
def asked(question: Callable[[], Any]) -> Iterator[Future[Any]]:
    """A question that waits for its answer meanwhile."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(question)


def test_every_route_has_its_answer(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        for name in ("master-node", "worker1"):
            beside = client(made[name])
            assert names(beside.call(NODE)) == ["master-node"]
            assert names(beside.request(Request(call=NODE, request_type="local_any"))) == [name]
            assert names(beside.call_nodes(NODE, [], {})) == EVERYONE
            assert names(beside.call_nodes(NODE, ["worker1", "worker3"], {})) == ["worker1", "worker3"]
            assert names(beside.call_nodes(NODE, ["worker2"], {})) == ["worker2"]
            assert len(beside.call_nodes("test.large", ["worker3"], {"size": 3_000_000})) == 3_000_000
        forwarded = Request(call=NODE).encode()
        master, worker = socket_of(made["master-node"]), socket_of(made["worker1"])
        assert like_c(master, "dapi_fwd", b"worker2 " + forwarded).payload == b"Request forwarded to worker node"
        assert b"3022" in like_c(master, "dapi_fwd", b"worker9 " + forwarded).payload
        assert like_c(worker, "dapi_fwd", b"worker2 " + forwarded).payload == b"unknown command 'b'dapi_fwd''"
        assert [made[name].terminate() for name in reversed(EVERYONE)] == [0] * 4
        assert sum(node.said("Traceback") for node in made.values()) == 0


def test_threat_49_whatever_a_call_does_its_caller_has_an_error_and_the_node_goes_on(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        for name in ("master-node", "worker1"):
            beside = client(made[name])
            with pytest.raises(RefusedByPeer, match="no call named 'os:system'"):
                beside.call("os:system", command="true")
            with pytest.raises(RefusedByPeer, match=r"does not take these arguments: .* argument `color`"):
                beside.call("outrider.ping", color="red")
            with pytest.raises(RefusedByPeer, match="No such node is connected"):
                beside.call_nodes(NODE, ["worker9"], {})
            for call in ("test.misbehave", "test.plainly"):
                for how in get_args(brought.How):
                    with pytest.raises(RefusedByPeer, match="Permission denied" if how == "refuse" else f"{call} fail"):
                        beside.call_nodes(call, ["worker2"], {"how": how})
                    with pytest.raises(RefusedByPeer):
                        beside.call(call, how=how)
            assert names(beside.call_nodes(NODE, [], {})) == EVERYONE
        counted = client(made["worker2"]).request(Request(call="outrider.status", request_type="local_any"))
        assert counted["counters"]["calls_failed.test.misbehave"] == 2 * (len(get_args(brought.How)) - 1)
        assert made["worker2"].said("the call test.plainly of master failed: KeyboardInterrupt") == 2
        assert made["worker2"].said("disconnected") == 0


def test_a_node_that_is_lost_half_way_is_a_failed_item_and_one_that_is_gone_is_one_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "half-way"
    with cluster(tmp_path) as made:
        beside = client(made["worker1"])
        with asked(lambda: beside.call_nodes("test.wait", [], {"gate": str(gate)})) as answer:
            wait_until(lambda: all(node.said("waits for half-way") for node in made.values()), "all nodes at work")
            made["worker2"].kill()
            wait_until(lambda: made["master-node"].said("worker2 disconnected") == 1)
            gate.touch()
            told = answer.result()
        assert told.pop("worker2").code == 3022
        assert told == {name: name for name in EVERYONE if name != "worker2"}
        partly = beside.call_nodes(NODE, ["worker1", "worker2"], {})
        assert names(partly) == ["worker1"]
        assert [(failure.code, ids) for failure, ids in partly.failed] == [(3022, ["worker2"])]
        never = tmp_path / "never"
        with asked(lambda: beside.call("test.wait", gate=str(never))) as answer:
            wait_until(lambda: made["master-node"].said("waits for never of worker1") == 1, "the master at work")
            made["master-node"].kill()
            assert isinstance(answer.exception(), RefusedByPeer)
            assert "3023" in str(answer.exception())


def test_threat_22_who_leaves_or_is_lost_gives_up_what_was_asked(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        master, worker = made["master-node"], made["worker1"]
        for beside, lost in ((master, "program"), (worker, "worker")):
            call = ["call", "test.wait", f"gate={tmp_path / lost}", "--home", str(beside.home)]
            with subprocess.Popen([sys.executable, "-m", "outrider", *call], stderr=subprocess.DEVNULL) as program:
                wait_until(lambda name=lost: master.said(f"waits for {name}") == 1)  # type: ignore[misc]
                (program.kill if lost == "program" else worker.kill)()
                wait_until(lambda name=lost: master.said(f"gives up {name}") == 1)  # type: ignore[misc]
        assert program.returncode == 1


def test_threat_22_at_its_deadline_a_request_has_an_answer_and_its_work_ends(tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    with cluster(tmp_path, OUTRIDER_INTERVALS__COMMUNICATION__TIMEOUT_DAPI_REQUEST="2") as made:
        master = made["master-node"]
        with pytest.raises(RefusedByPeer, match="3021"):
            client(made["worker1"]).call("test.wait", gate=never)
        wait_until(lambda: master.said("gives up never") == 1, "the end of the work at the master")
        with pytest.raises(RefusedByPeer, match="3021"):
            client(master).call_nodes("test.wait", ["worker3"], {"gate": never})
        wait_until(lambda: made["worker3"].said("gives up never") == 1, "the end of the work at the worker")
        blocked = {"gate": str(tmp_path / "later")}
        with pytest.raises(RefusedByPeer, match="3021"):
            client(master).call("test.block", **blocked)
        assert names(client(master).call(NODE)) == ["master-node"]
        Path(blocked["gate"]).touch()


def test_threat_21_others_do_not_wait_for_one_that_never_ends(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with cluster(tmp_path) as made, asked(lambda: client(made["worker1"]).call("test.wait", gate=str(gate))) as slow:
        wait_until(lambda: made["master-node"].said("waits for gate") == 1)
        for _ in range(20):
            assert names(client(made["worker1"]).call_nodes(NODE, [], {})) == EVERYONE
        assert not slow.done()
        gate.touch()
        assert slow.result() == "master-node"


def test_a_program_in_c_asks_a_daemon_beside_the_master_and_files_travel_both_ways(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path / "auth") as daemon,
        cluster(tmp_path, OUTRIDER_SENDSYNC__AUTHD=str(daemon.path), OUTRIDER_LOCAL__SEND_FOLDER="tmp/") as made,
    ):
        master, worker = made["master-node"], made["worker1"]
        request = b'{"daemon_name": "authd", "message": {"function": "add"}}'
        heard = like_c(socket_of(worker), "sendsync", request)
        assert (heard.field, heard.payload) == (b"ok ---------", b'told {"function": "add"}')
        refused = like_c(socket_of(worker), "sendsync", b'{"daemon_name": "remoted", "message": ""}')
        assert refused.field == b"err --------"
        assert refused.payload == b"Error 1014 - Error communicating with socket: 'remoted'"
        for home in (master.home, worker.home):
            (home / "tmp").mkdir()
        (worker.home / "tmp/up").write_bytes(b"u" * 1_000_000)
        assert client(worker).send_file(worker.home / "tmp/up") == 1_000_000
        assert (master.home / "tmp/up").read_bytes() == b"u" * 1_000_000
        (master.home / "tmp/down").write_bytes(b"d")
        assert client(master).send_file(master.home / "tmp/down", "worker1") == 1
        assert (worker.home / "tmp/down").read_bytes() == b"d"
        for file, said in ((worker.home / "tmp/none", "3034"), (Path("/etc/passwd"), "does not begin with this node")):
            with pytest.raises(RefusedByPeer, match=said):
                client(worker).send_file(file)
