"""What a node tells about itself is counted as it happens, and a snapshot never changes."""

from __future__ import annotations

import msgspec
import pytest

from outrider.status import Failure, LinkState, Outcome, Retrying, Standing, Status, reported


def test_counters_and_limits_add_up() -> None:
    status = Status()
    status.count("frames")
    status.count("bytes", 100)
    status.count("bytes", 20)
    status.limit_hit("limits.open_files")
    snapshot = status.snapshot()
    assert snapshot.counters == {"frames": 1, "bytes": 120}
    assert snapshot.limits_hit == {"limits.open_files": 1}


def test_the_link_tells_how_often_it_came_back() -> None:
    status = Status()
    status.disconnected("refused", at=1.0)
    assert status.snapshot().link == LinkState(since=1.0, reason="refused")
    status.connected("master", at=2.0)
    assert status.snapshot().link == LinkState(connected=True, peer="master", since=2.0)
    status.disconnected("closed by the peer", at=3.0)
    assert status.snapshot().link == LinkState(peer="master", since=3.0, reason="closed by the peer")
    status.connected("master", at=4.0)
    assert status.snapshot().link == LinkState(connected=True, peer="master", since=4.0, reconnects=1)


def test_a_failure_does_not_hide_the_last_success() -> None:
    status = Status()
    good = Outcome(ok=True, started=10.0, seconds=0.5, counts={"written": 3})
    bad = Outcome(ok=False, started=20.0, seconds=0.1, detail="disk full")
    status.finished("Integrity sync", good)
    status.finished("Integrity sync", bad)
    kind = status.snapshot().kinds["Integrity sync"]
    assert (kind.succeeded, kind.failed, kind.last, kind.last_good) == (1, 1, bad, good)


def test_a_snapshot_is_not_changed_by_what_comes_after() -> None:
    status = Status()
    status.count("frames")
    before = status.snapshot()
    status.count("frames")
    status.limit_hit("limits.tasks")
    status.connected("master", at=1.0)
    status.finished("Keep alive", Outcome(ok=True, started=0.0, seconds=0.0))
    assert before == msgspec.structs.replace(before, counters={"frames": 1}, limits_hit={}, kinds={}, link=LinkState())
    with pytest.raises(AttributeError):
        before.link = LinkState()  # type: ignore[misc]


def test_a_note_stands_as_long_as_it_is_so() -> None:
    status = Status()
    status.note("key", "rotation: adding")
    status.note("key", "rotation: window")
    assert status.snapshot().notes == {"key": "rotation: window"}
    status.note("key", None)
    status.note("key", None)
    assert status.snapshot().notes == {}


def test_a_snapshot_becomes_json() -> None:
    status = Status()
    status.finished("Keep alive", Outcome(ok=True, started=1.0, seconds=0.25))
    data = msgspec.json.decode(msgspec.json.encode(status.snapshot()))
    assert data["kinds"]["Keep alive"]["last"]["seconds"] == 0.25


def test_what_a_link_records_its_node_records_as_well() -> None:
    node = Status()
    one, other = Status(node=node), Status(node=node)
    one.count("frames", 2)
    other.count("frames")
    other.limit_hit("limits.tasks")
    one.finished("integrity", Outcome(ok=True, started=1, seconds=2))
    assert node.snapshot().counters == {"frames": 3}
    assert node.snapshot().limits_hit == {"limits.tasks": 1}
    assert node.snapshot().kinds["integrity"].succeeded == 1
    assert other.snapshot().counters == {"frames": 1}
    assert not other.snapshot().kinds


def test_what_a_link_tries_again_shows_at_its_node_under_the_peer_s_name() -> None:
    node = Status()
    link = Status(node=node)
    link.peer = "worker1"
    how = Retrying(nature="temporary", failures=1, since=1, reason="no", next_try=None)
    link.retrying("Integrity check", how)
    assert node.snapshot().retries == {"worker1: Integrity check": how}
    link.retrying("Integrity check", None)
    assert not node.snapshot().retries
    assert not link.snapshot().retries


def failure(reason: str, at: float = 1.0) -> Failure:
    return Failure(name="a round", reason=reason, nature="temporary", at=at)


def test_what_rounds_took_and_moved_adds_up() -> None:
    status = Status()
    for seconds in (0.02, 0.04, 7.0):
        outcome = Outcome(ok=True, started=1, seconds=seconds, cpu_seconds=0.5, bytes=10, saved=90)
        status.finished("integrity", outcome)
    rounds = status.snapshot().kinds["integrity"]
    assert len(rounds.took) == 3
    assert rounds.took.seconds == pytest.approx(7.06)
    assert (rounds.cpu_seconds, rounds.bytes, rounds.saved) == (1.5, 30, 270)


def test_rounds_that_did_something_or_failed_are_remembered_with_their_peer() -> None:
    node = Status()
    link = Status(node=node)
    link.peer = "worker1"
    link.finished("integrity", Outcome(ok=True, started=1, seconds=1))
    link.finished("integrity", Outcome(ok=True, started=2, seconds=1, counts={"written": 1}))
    node.finished("integrity", Outcome(ok=False, started=3, seconds=1))
    assert [(one.peer, one.outcome.started) for one in node.history("integrity")] == [("worker1", 2), ("", 3)]
    for number in range(1000):
        node.finished("agent_info", Outcome(ok=False, started=number, seconds=1))
    assert len(node.history("agent_info")) == 100
    assert node.history("agent_info")[-1].outcome.started == 999
    assert len(node.history("integrity")) == 2, "one kind takes nothing from another"
    assert link.history("integrity") == []


def test_the_same_failure_is_remembered_once_and_the_last_thirty_are() -> None:
    status = Status()
    for at in (1.0, 2.0):
        status.failure(failure("no room", at))
    status.failure(failure("no network", 3.0))
    status.failure(failure("no room", 4.0))
    assert [(one.reason, one.times, one.at) for one in status.snapshot().failures] == [
        ("no network", 1, 3.0),
        ("no room", 3, 4.0),
    ]
    for number in range(100):
        status.failure(failure(str(number)))
    failures = status.snapshot().failures
    assert [one.reason for one in failures] == [str(number) for number in range(70, 100)]
    assert status.snapshot().failed == {"temporary": 104}


def test_a_link_s_failure_is_its_node_s_under_the_peer_s_name() -> None:
    node = Status()
    link = Status(node=node)
    link.peer = "worker1"
    link.failure(reported("generation 7", "no room", 5.0))
    assert node.snapshot().failures == (
        Failure(name="generation 7", reason="no room", nature="the peer's fault", at=5.0, peer="worker1"),
    )
    assert not link.snapshot().failures


def test_since_is_when_it_became_so() -> None:
    status = Status()
    assert not status.standing.in_step
    status.in_step(1.0, "no link")
    status.in_step(2.0, "no answer")
    assert (status.standing.since, status.standing.reason) == (1.0, "no answer")
    status.in_step(3.0)
    status.in_step(4.0)
    standing = status.snapshot().standing
    assert (standing.in_step, standing.since, standing.checked, standing.reason) == (True, 3.0, 4.0, "")


def test_a_root_keeps_its_age_while_numbers_grow() -> None:
    status = Status()
    status.stands(number=1, root="a", at=1.0, files=5)
    status.stands(number=2, root="a", at=2.0)
    assert status.standing == Standing(number=2, root="a", root_since=1.0, files=5)
    status.stands(number=2, root="a", at=0.5)
    assert status.standing.root_since == 0.5, "it is known by now to have stood for longer"
    status.stands(number=3, root="b", at=3.0)
    assert status.standing == Standing(number=3, root="b", root_since=3.0, files=None)


def test_links_and_their_bytes_add_up_at_the_node() -> None:
    node = Status()
    one, other = Status(node=node), Status(node=node)
    one.connected("worker1", 1.0)
    other.connected("worker2", 2.0)
    one.carried(10, 1)
    other.carried(20, 2)
    snapshot = node.snapshot()
    assert (snapshot.links, snapshot.received, snapshot.sent, snapshot.link.connected) == (2, 30, 3, False)


def test_gauges_of_one_name_add_up_and_are_looked_at_when_somebody_asks() -> None:
    status, queue = Status(), [1, 2]
    status.gauge("waiting", lambda: len(queue))
    status.gauge("waiting", lambda: 10)
    assert status.snapshot().gauges == {"waiting": 12}
    queue.clear()
    assert status.snapshot().gauges == {"waiting": 10}


def test_a_link_s_work_shares_with_its_node_s() -> None:
    seconds = 0.0
    node = Status(cpu=lambda: seconds)
    with node.working() as one, Status(node=node).working() as other:
        seconds = 4.0
    assert (one.cpu_seconds, other.cpu_seconds) == (2.0, 2.0)
