"""Whether a node is ready, and what mends what failed there: values for whoever asks."""

from __future__ import annotations

import pytest
from tests.support.watched import Shown, other

from outrider.errors import Nature
from outrider.http.answers import Ready, health, readiness, told
from outrider.status import Failure


def test_who_does_not_run_is_neither_alive_nor_ready() -> None:
    node = Shown()
    node.status.in_step(1.0)
    assert health(node) == Ready(ready=True, reason="")
    assert readiness(node, None) == Ready(ready=True, reason="")
    node.running = False
    assert not health(node).ready
    assert readiness(node, None) == Ready(ready=False, reason="this node does not run")


def test_a_worker_that_lost_its_master_is_not_ready_whatever_it_holds() -> None:
    node = Shown("worker")
    node.status.connected("192.0.2.1", 1.0)
    node.status.stands(number=9, root="a", at=1.0)
    node.status.in_step(1.0)
    assert readiness(node, 9).ready
    node.status.disconnected("the cable was pulled", 2.0)
    assert readiness(node, 9) == Ready(ready=False, reason="the cable was pulled")


@pytest.mark.parametrize(
    ("reason", "nature", "cause", "remedy"),
    [
        ("no room; make room", Nature.TEMPORARY, "no room", "make room"),
        ("no name; take one; or two", Nature.PERMANENT, "no name", "take one; or two"),
        ("no network", Nature.TEMPORARY, "no network", "Nothing: it is tried again by itself."),
        (
            "read-only",
            Nature.PERMANENT,
            "read-only",
            "Somebody has to change something here: outrider doctor says what.",
        ),
        (
            "no sense",
            Nature.PEER,
            "no sense",
            "The other end is to blame: its log, or outrider doctor there, says more.",
        ),
    ],
)
def test_every_failure_has_a_remedy(reason: str, nature: Nature, cause: str, remedy: str) -> None:
    node = Shown()
    node.status.failure(Failure(name="x", reason=reason, nature=nature.value, at=1.0))
    (failure,) = told(node.look())["failures"]
    assert (failure["cause"], failure["remedy"]) == (cause, remedy)


def test_a_row_says_since_when() -> None:
    node = Shown()
    node.others = [other("worker1", in_step=True, since=50.0)]
    rows = {row["name"]: row for row in told(node.look())["nodes"]}
    assert (rows["worker1"]["since"], rows["worker1"]["reason"]) == (50.0, "")
    assert (rows["node01"]["since"], rows["node01"]["reason"]) == (None, "no round has ended yet")
