"""A minute of churn, of which a node keeps nothing open; ``make soak`` runs longer and says how memory goes as well."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from tests.soak.churn import churn
from tests.soak.measuring import descriptors_at_rest
from tests.support.processes import wait_until

WARM_UP_S = 10.0
CHURN_S = 50.0
PATIENCE_S = 120.0
SPARE = 8
"""A few are opened when they are first needed, e.g. a second connection to a database; what leaks goes far beyond."""


def test_threat_47_and_05_a_minute_of_files_agents_reconnects_and_probes_leaves_no_descriptor_open(
    tmp_path: Path,
) -> None:
    with churn(tmp_path) as busy:
        busy.run(time.monotonic() + WARM_UP_S)
        busy.settle()
        joined = busy.master.said("joined from")
        at_rest = {node.home.name: rest(node.pid) for node in busy.nodes}
        busy.run(time.monotonic() + CHURN_S)
        busy.settle()
        assert busy.master.said("joined from") > joined
        assert busy.master.said("Traceback") == 0
        for node in busy.nodes:
            wait_until(
                partial(holds, node.pid, at_rest[node.home.name] + SPARE),
                f"{node.home.name} to close it all",
                PATIENCE_S,
            )


def holds(pid: int, most: int) -> bool:
    """Whether a node has no more open than that."""
    return descriptors_at_rest(pid) <= most


def rest(pid: int) -> int:
    """The descriptors of a node with nothing to do: the most of a few looks, as a round may be under way at one."""
    seen = []
    for _ in range(10):
        seen.append(descriptors_at_rest(pid))
        time.sleep(0.2)
    return max(seen)
