"""What a node's row says follows from its link and from where it stands."""

from __future__ import annotations

import pytest

from outrider.model import NodeInfo
from outrider.overview import NodeView, failures_of, syncs_of, view_of
from outrider.status import Failure, LinkState, Outcome, Standing, Status

INFO = NodeInfo(name="worker1", type="worker", version="4.9.2", address="192.0.2.7")


def view(*, connected: bool, in_step: bool, link: str = "", standing: str = "") -> NodeView:
    return view_of(INFO, LinkState(connected=connected, reason=link), Standing(in_step=in_step, reason=standing))


@pytest.mark.parametrize(
    ("seen", "in_step", "why_not"),
    [
        (view(connected=True, in_step=True), True, ""),
        (view(connected=True, in_step=False, standing="held back"), False, "held back"),
        (view(connected=False, in_step=True, link="closed"), False, "closed"),
        (view(connected=False, in_step=False, standing="held back"), False, "it is not connected"),
    ],
)
def test_in_step_is_who_is_there_and_equal(seen: NodeView, in_step: bool, why_not: str) -> None:
    assert (seen.in_step, seen.why_not) == (in_step, why_not)


def test_syncs_are_rounds_that_brought_files_in_the_order_of_their_begin() -> None:
    status = Status()
    for kind, peer, started, counts in (
        ("integrity_sync", "worker1", 3.0, {"shared": 1}),
        ("integrity", "", 1.0, {"written": 2}),
        ("integrity", "", 2.0, {}),
        ("agent_info", "worker1", 2.5, {"chunks": 7}),
    ):
        status.finished(kind, Outcome(ok=True, started=started, seconds=1, counts=counts, bytes=5, saved=6), peer)
    assert [(one.node, one.at, one.bytes, one.saved) for one in syncs_of(status, "me")] == [
        ("me", 1.0, 5, 6),
        ("worker1", 3.0, 5, 6),
    ]


def test_the_latest_failure_comes_first() -> None:
    status = Status()
    for at in (1.0, 3.0, 2.0):
        status.failure(Failure(name="x", reason=str(at), nature="temporary", at=at))
    assert [one.at for one in failures_of(status.snapshot())] == [3.0, 2.0, 1.0]
