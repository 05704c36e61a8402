"""The log of real nodes as JSON: every line an object with the same keys, all lines of a round under one number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.processes import Node, free_port, nodes, wait_until

KEYS = ["time", "level", "node", "peer", "tag", "task", "code", "message", "exception"]
JSON = {"format": "json"}


def written(node: Node) -> list[dict[str, Any]]:
    """Each line of its log, which must be one object with all keys."""
    lines = [json.loads(line) for line in node.lines()]
    assert all(list(line) == KEYS for line in lines)
    assert {line["node"] for line in lines} == {node.home.name}
    return lines


def about(lines: list[dict[str, Any]], words: str) -> dict[str, Any]:
    """The first line that says this."""
    return next(line for line in lines if words in line["message"])


def test_every_line_of_a_master_and_its_workers_is_json(tmp_path: Path) -> None:
    port = free_port()
    master = Node("master", tmp_path / "master-node", port=port, log=JSON)
    ours = Node("worker", tmp_path / "worker1", port=port, log=JSON)
    old = Node("worker", tmp_path / "worker2", port=port, link={"require": "base"}, log=JSON)
    master.write("a.conf", b"a\n")
    with nodes(master, ours, old):
        for worker in (ours, old):
            wait_until(lambda worker=worker: worker.said("synchronised") > 0, "a sync")  # type: ignore[misc]
        assert {node.terminate() for node in (master, ours, old)} == {0}
    for worker in (ours, old):
        lines = written(worker)
        done = about(lines, "synchronised")
        assert (done["tag"], done["peer"], done["exception"]) == ("Integrity check", "127.0.0.1", None)
        assert len(done["task"]) == 8
        assert all(line["peer"] == "127.0.0.1" for line in lines if line["task"] == done["task"])
    lines = written(master)
    assert (about(lines, "joined from")["peer"], about(lines, "listening on")["peer"]) in {
        ("worker1", None),
        ("worker2", None),
    }
    sent = next(line for line in lines if line["message"].startswith("sent ") and line["peer"] == "worker2")
    assert sent["task"], "the id that the task has on the wire"
