"""What a node says of itself, as findings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.patients import patient, running, states

from outrider.doctor import rounds
from outrider.status import LinkState, Outcome, Rounds


def outcome(ago: float = 0, seconds: float = 0.1, detail: str = "") -> Rounds:
    last = Outcome(ok=not detail, started=time.time() - ago, seconds=seconds, detail=detail)
    return Rounds(succeeded=3, failed=bool(detail), last=last)


@pytest.mark.parametrize(
    ("seen", "state", "says"),
    [
        (outcome(), "good", "3 good rounds"),
        (outcome(detail="the disk is full"), "bad", "the disk is full"),
        (outcome(ago=5, seconds=400), "warning", "more than its interval of 300 s"),
        (outcome(ago=4000), "bad", "s ago, its interval is 300 s"),
    ],
)
def test_a_round_is_held_against_its_interval(tmp_path: Path, seen: Rounds, state: str, says: str) -> None:
    found = list(rounds.rounds(patient(tmp_path, status=running(kinds={"integrity": seen}))))
    assert states(found) == [state]
    assert says in found[0].what


def test_a_limit_that_was_hit_is_named(tmp_path: Path) -> None:
    found = list(rounds.rounds(patient(tmp_path, status=running(limits_hit={"limits.open_files": 1200}))))
    assert [(one.state, one.what) for one in found] == [("warning", "the limit limits.open_files was hit 1,200 times")]


def test_a_worker_without_a_link_says_why(tmp_path: Path) -> None:
    status = running(link=LinkState(reason="no answer to hello"))
    found = list(rounds.node(patient(tmp_path, status=status)))
    assert states(found) == ["bad"]
    assert "no answer to hello" in found[0].what


def test_a_node_that_does_not_run_is_no_fault_of_its_home(tmp_path: Path) -> None:
    found = list(rounds.node(patient(tmp_path)))
    assert (states(found), found[0].remedy) == (["warning"], "start it: outrider worker")
    assert list(rounds.rounds(patient(tmp_path))) == []
