"""The page in a real browser, of real nodes: in step, out of step, and after a worker is killed."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import watched
from tests.support.browser import CHROMIUM, Shown, picture, visit
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider.status import Failure, Outcome

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


class Cluster:
    """A master, a worker, and one that takes no change while the file ``refuse`` lies in its home; each has a page."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.pages = {name: free_port() for name in ("master-node", "worker1", "worker2")}
        check = [sys.executable, "-c", "import pathlib, sys; sys.exit(pathlib.Path('refuse').exists())"]
        self.master = self._node("master", folder / "master-node", port)
        self.worker = self._node("worker", folder / "worker1", port)
        self.picky = self._node("worker", folder / "worker2", port, generations={"check_command": check})
        self.all = self.master, self.worker, self.picky

    def _node(self, role: str, home: Path, port: int, **more: Any) -> Node:
        return Node(role, home, port=port, http={"enabled": True, "port": self.pages[home.name]}, **more)

    def url(self, node: str, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.pages[node]}{path}"

    def fetch(self, node: str, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url(node, path), timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""

    def in_step(self, generation: int, *names: str) -> None:
        for name in names:
            path = f"/readyz?generation={generation}"
            wait_until(lambda name=name, path=path: self.fetch(name, path)[0] == 200, f"{name} at {generation}")  # type: ignore[misc]


def seen(url: str, true: Callable[[Shown], bool]) -> Shown:
    """The page, as soon as it shows what is sure to come."""
    shown = visit(url)
    wait_until(lambda: true(shown) or true(visit(url)), "the page to show it")
    return shown if true(shown) else visit(url)


def test_the_page_shows_who_is_in_step_and_who_is_not(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.master.write("a.conf", b"a line\n" * 5000)
    with nodes(*cluster.all):
        cluster.in_step(1, "master-node", "worker1", "worker2")
        shown = seen(cluster.url("master-node"), lambda page: len(page.nodes()) == 3)
        assert shown.text("summary") == "All 3 nodes are in step"
        assert {name: row.in_step for name, row in shown.nodes().items()} == dict.fromkeys(cluster.pages, True)
        assert "sync" in shown.label("times")
        assert "saved" in shown.label("bytes")
        assert "<title>3/3 in step" in shown.dom

        # out of step: one worker's own check refuses what comes next
        (cluster.picky.home / "refuse").touch()
        cluster.master.write("b.conf", b"refused there\n")
        cluster.in_step(2, "master-node", "worker1")
        shown = seen(cluster.url("master-node"), lambda page: not page.nodes()["worker2"].in_step)
        assert shown.text("summary") == "2 of 3 nodes are in step"
        assert shown.nodes()["worker1"].in_step
        assert "Not in step since" in shown.nodes()["worker2"].text
        assert "check" in shown.text("errors")
        assert "What helps:" in shown.text("errors")
        code, why = cluster.fetch("worker2", "/readyz")
        assert (code, "quarantined" in why) == (503, True)

        # at a worker: itself, and what its master tells of the others
        shown = seen(cluster.url("worker1"), lambda page: len(page.nodes()) == 3)
        assert {name: row.in_step for name, row in shown.nodes().items()} == {
            "master-node": True,
            "worker1": True,
            "worker2": False,
        }

        # gone: a worker that was killed is missed
        cluster.worker.kill()
        shown = seen(cluster.url("master-node"), lambda page: not page.nodes()["worker1"].in_step)
        assert "✕" in shown.nodes()["worker1"].text
        assert shown.text("summary") == "1 of 3 nodes are in step"

        # without a master a worker shows itself and says why it shows no others
        cluster.master.kill()
        shown = seen(cluster.url("worker2"), lambda page: len(page.nodes()) == 1)
        assert shown.text("summary") == "worker2 is not in step"
        assert "knows of no others" in shown.text("nodes-note")

        # a master that starts anew misses the worker that it knew
        cluster.master.start()
        cluster.in_step(2, "master-node")
        told = json.loads(cluster.fetch("master-node", "/status")[1])["cluster"]["nodes"]
        (missed,) = (node for node in told if node["name"] == "worker1")
        assert (missed["connected"], "peer forget worker1" in missed["reason"]) == (False, True)


def test_metrics_and_status_of_real_nodes_are_read_by_their_tools(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.master.write("a.conf", b"a line\n" * 5000)
    with nodes(*cluster.all):
        cluster.in_step(1, "master-node", "worker1", "worker2")
        wait_until(lambda: "outrider_link_round_trip_seconds_count 0.0" not in cluster.fetch("worker1", "/metrics")[1])
        found = {}
        for name in cluster.pages:
            families = text_string_to_metric_families(cluster.fetch(name, "/metrics")[1])
            found[name] = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }
        worker, master = found["worker1"], found["master-node"]
        assert worker["outrider_in_step",] == master["outrider_in_step",] == 1
        assert worker["outrider_generation",] == master["outrider_generation",] == 1
        assert worker["outrider_sync_saved_bytes_total", ("kind", "integrity")] > 30_000
        assert worker["outrider_sync_cpu_seconds_total", ("kind", "integrity")] > 0
        assert worker["outrider_link_round_trip_seconds_count",] >= 1
        assert master["outrider_connected_peers",] == 2
        assert master["outrider_peer_in_step", ("peer", "worker1")] == 1
        assert master["outrider_link_received_bytes_total",] > 0
        assert master["process_open_fds",] > 0
        assert cluster.fetch("worker1", "/healthz") == (200, "ok\n")
        assert cluster.fetch("worker1", "/readyz?generation=2")[0] == 503
        status = json.loads(cluster.fetch("master-node", "/status")[1])
        assert {node["name"] for node in status["cluster"]["nodes"]} == set(cluster.pages)
        assert "0123456789abcdefghijklmnopqrstuv" not in json.dumps(status)
        assert {node.terminate() for node in cluster.all} == {0}
    for node in cluster.all:
        assert not node.said("Traceback")


def test_a_port_that_is_taken_costs_a_node_its_page_alone(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.pages["worker1"] = cluster.pages["master-node"]
    worker = cluster._node("worker", cluster.worker.home, cluster.worker.port)
    cluster.master.write("a.conf", b"a\n")
    with nodes(cluster.master, worker):
        wait_until(lambda: worker.tree() == cluster.master.tree(), "the worker to be in step")
        wait_until(lambda: worker.said("HTTP failed.*cannot listen on .*Address already in use") > 0)
        cluster.master.terminate()
        wait_until(lambda: worker.said("the page is at") == 1, "the port to be free")
        assert worker.terminate() == 0


def test_what_peers_say_is_text_in_the_page() -> None:
    node = watched.Shown(connections=20)
    node.others = [watched.other(HOSTILE, reason=HOSTILE, since=10.0)]
    node.missing = HOSTILE
    node.status.failure(Failure(name=HOSTILE, reason=f"{HOSTILE}; {HOSTILE}", nature="permanent", at=5.0, peer=HOSTILE))
    node.status.finished(
        "integrity_sync", Outcome(ok=True, started=1.0, seconds=0.5, counts={"shared": 1}, bytes=9), HOSTILE
    )

    async def story() -> Shown:
        async with watched.served(node) as port:
            return await asyncio.to_thread(visit, f"http://127.0.0.1:{port}/")

    shown = asyncio.run(story())
    assert "<title>0/2 in step · wazuh</title>" in shown.dom
    assert "<img" not in shown.dom
    assert HOSTILE in shown.nodes()
    assert shown.text("errors").count(HOSTILE) == 4
    assert HOSTILE in shown.text("nodes-note")


@pytest.mark.parametrize("width", [380, 1440])
def test_pictures_of_both_sizes_can_be_taken(tmp_path: Path, width: int) -> None:
    async def story() -> None:
        async with watched.served(watched.Shown()) as port:
            for dark in (False, True):
                file = tmp_path / f"{dark}.png"
                await asyncio.to_thread(picture, f"http://127.0.0.1:{port}/", file, width=width, height=900, dark=dark)

    asyncio.run(story())
    light, dark = ((tmp_path / name).read_bytes() for name in ("False.png", "True.png"))
    assert struct.unpack(">II", light[16:24])[1] == 900
    assert light != dark
