"""Real nodes over bad networks (threat 41): loss, a cable that is pulled, delay, half-open connections, a slow line.

Whatever the network does, a worker comes back and gets in step; and a link full of files keeps its signs of life.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
from tests.support.namespaces import MASTER_ADDRESS, Cable, cable
from tests.support.processes import Node, free_port, nodes, wait_until
from tests.support.proxy import proxied

PATIENCE_S = 300.0
PATIENT = {"keep_alive": 10, "max_failed_keepalive_attempts": 3}
"""The master's answers may take long, as by default; where every second packet is lost they do."""
TIMEOUT = "OUTRIDER_INTERVALS__COMMUNICATION__TIMEOUT_CLUSTER_REQUEST"
IMPATIENT = {TIMEOUT: "3"}
"""Answers that stay out are missed sooner than by default."""


@contextmanager
def over_a_cable(
    folder: Path, name: str, link: str, environment: dict[str, str], **intervals: float
) -> Iterator[tuple[Cable, Node, Node]]:
    """A master and a worker at the two ends of a cable, in step."""
    with cable(name) as line:
        master = Node("master", folder / "master-node", port=1516, host=MASTER_ADDRESS)
        worker = Node("worker", folder / "worker1", port=1516, host=MASTER_ADDRESS, intervals=intervals)
        master.within, worker.within = line.within(line.master), line.within(line.worker)
        for node in (master, worker):
            node.environment = {**environment, "OUTRIDER_LINK__REQUIRE": link}
        for number in range(20):
            master.write(f"{number}", b"%d" % number)
        with nodes(master, worker):
            in_step(master, worker)
            yield line, master, worker


def in_step(master: Node, worker: Node) -> None:
    wait_until(lambda: worker.tree() == master.tree(), "the worker to get in step", PATIENCE_S)


def noticed(worker: Node, times: int) -> bool:
    """Whether a worker has given up its connection so often."""
    return worker.said(r"\[Cluster\] disconnected") >= times


@pytest.mark.parametrize("link", ["base", "extended"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_threat_41_a_worker_gets_in_step_although_packets_are_lost(tmp_path: Path, share: float, link: str) -> None:
    with over_a_cable(tmp_path, "loss", link, {}, **PATIENT) as (line, master, worker):
        line.lose(share)
        for number in range(0, 20, 3):
            master.write(f"{number}", Random(number).randbytes(1000))
        in_step(master, worker)


@pytest.mark.parametrize("link", ["base", "extended"])
def test_threat_41_a_worker_comes_back_when_the_cable_does(tmp_path: Path, link: str) -> None:
    with over_a_cable(tmp_path, "pulled", link, IMPATIENT) as (line, master, worker):
        for time in (1, 2):
            line.pull()
            master.write("1", b"written while nothing passes: %d" % time)
            wait_until(partial(noticed, worker, time), "the silence to be noticed", PATIENCE_S)
            assert worker.tree() != master.tree()
            line.plug()
            in_step(master, worker)


@pytest.mark.parametrize("link", ["base", "extended"])
def test_threat_41_a_second_of_delay_and_a_half_open_connection_keep_nobody_out_of_step(
    tmp_path: Path, link: str
) -> None:
    master = Node("master", tmp_path / "master-node", port=free_port())
    master.write("a", b"1")
    with proxied(master.port, delay_s=1.0) as line:
        worker = Node("worker", tmp_path / "worker1", port=line.port)
        for node in (master, worker):
            node.environment = {TIMEOUT: "10", "OUTRIDER_LINK__REQUIRE": link}
        with nodes(master, worker):
            in_step(master, worker)
            line.freeze()
            master.write("a", b"2")
            in_step(master, worker)
            assert master.said("worker1 joined") > 1


@pytest.mark.parametrize("link", ["base", "extended"])
def test_threat_41_bulk_on_a_slow_line_starves_no_keep_alive(tmp_path: Path, link: str) -> None:
    """The file takes several times as long as the answers that would be missed."""
    master = Node("master", tmp_path / "master-node", port=free_port())
    with proxied(master.port, bytes_per_s=1e6) as line:
        worker = Node("worker", tmp_path / "worker1", port=line.port)
        for node in (master, worker):
            node.environment = {**IMPATIENT, "OUTRIDER_LINK__REQUIRE": link}
        with nodes(master, worker):
            wait_until(lambda: master.said("worker1 joined") == 1, "the worker to join")
            master.write("bulk", Random(1).randbytes(12_000_000))
            in_step(master, worker)
            assert line.carried > 12_000_000
            assert master.said("worker1 joined") == 1
            assert worker.said("Keep alive") == 0  # it speaks up when one stays unanswered
