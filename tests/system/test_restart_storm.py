"""A master that is killed under a thousand workers: all come back by themselves, in an order of chance, none lost."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.crowd import more_descriptors, name_of
from tests.support.processes import Node, free_port, nodes, wait_until

WORKERS = 1000
PROCESSES = 4
PATIENCE_S = 300.0
CALM = {"recalculate_integrity": 8, "agent_group_start_delay": 30, "sync_agent_groups": 10}
"""The defaults of a master."""


@contextlib.contextmanager
def crowd(folder: Path, port: int) -> Iterator[None]:
    """A thousand workers in a few processes."""
    folder.mkdir()
    each = WORKERS // PROCESSES
    command = [sys.executable, "-m", "tests.support.crowd", str(folder), str(port)]
    with (folder / "log").open("wb") as log:
        running = [
            subprocess.Popen([*command, str(first), str(each)], stdout=log, stderr=log)
            for first in range(0, WORKERS, each)
        ]
        try:
            yield
        finally:
            for process in running:
                process.kill()
            for process in running:
                process.wait()


def came(master: Node, since: int) -> list[str]:
    """Who has joined after the first ``since`` lines of the master's log, in order."""
    return re.findall(r"(crowd\d{4}) joined from", "\n".join(master.lines()[since:]))


def test_threat_42_a_thousand_workers_come_back_to_a_master_that_was_killed_and_none_is_lost(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    more_descriptors()
    master = Node(
        "master", tmp_path / "master-node", port=free_port(), level="INFO", intervals=CALM, connections_per_address=4096
    )
    master.write("a", b"before")
    everyone = {name_of(number) for number in range(WORKERS)}

    def have(content: bytes) -> bool:
        return all((tmp_path / "crowd" / name / "tree" / "a").read_bytes() == content for name in everyone)

    with nodes(master), crowd(tmp_path / "crowd", master.port):
        wait_until(lambda: have(b"before"), "everyone to be in step", PATIENCE_S)
        first = came(master, 0)
        master.kill()
        master.write("a", b"after")
        seen, started = len(master.lines()), time.monotonic()
        master.start()
        wait_until(lambda: set(came(master, seen)) == everyone, "everyone to come back", PATIENCE_S)
        back_s = time.monotonic() - started
        wait_until(lambda: have(b"after"), "everyone to be in step again", PATIENCE_S)
        again, served_s = came(master, seen), time.monotonic() - started
        assert len(again) == WORKERS  # each came once: nobody was let in and lost again
        assert again != first
        assert again != sorted(again)
        record_property("all_back_s", round(back_s, 1))
        record_property("all_in_step_s", round(served_s, 1))
