"""A minute of churn, of which a node keeps nothing open; ``make soak`` runs longer and says how memory goes as well."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from tests.soak.churn import churn
from tests.soak.measuring import SPARE_DESCRIPTORS, Sample, descriptors_at_rest, growth, rest
from tests.support.processes import wait_until

WARM_UP_S = 10.0
CHURN_S = 50.0
PATIENCE_S = 120.0


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
                partial(holds, node.pid, at_rest[node.home.name] + SPARE_DESCRIPTORS),
                f"{node.home.name} to close it all",
                PATIENCE_S,
            )


def holds(pid: int, most: int) -> bool:
    """Whether a node has no more open than that."""
    return descriptors_at_rest(pid) <= most


def test_a_soak_says_whether_memory_still_grows_in_its_second_half_and_what_stays_open() -> None:
    bends = [Sample(60.0 * at, 50_000 + 1_000 * min(at, 20), 30, 5) for at in range(41)]
    rises = [Sample(60.0 * at, 50_000 + 400 * at, 30, 5) for at in range(41)]
    assert growth("worker1", bends, (20, 24)).kib_per_minute == pytest.approx((1_000, 0))
    assert not growth("worker1", bends, (20, 24)).faults()
    assert ["grew by 400 KiB" in fault for fault in growth("worker1", rises, (20, 24)).faults()] == [True]
    assert ["29 descriptors" in fault for fault in growth("worker1", bends, (20, 29)).faults()] == [True]
    assert not growth("worker1", rises[:20], (20, 24)).faults()  # too short to say
