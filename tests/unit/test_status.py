"""What a node tells about itself is counted as it happens, and a snapshot never changes."""

from __future__ import annotations

import msgspec
import pytest

from outrider.status import LinkState, Outcome, Retrying, Status


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
