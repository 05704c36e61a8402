"""Pauses and alarms by the nature of what failed, without a clock."""

from __future__ import annotations

import errno
from random import Random

import pytest
from tests.support.ports import Highest

from outrider.errors import (
    Awaits,
    HeldBackError,
    Nature,
    NotExtendedError,
    OutriderError,
    PeerError,
    ProtocolError,
    RefusedByPeer,
    SettingsError,
    StoreBusyError,
    StoreError,
    SyncError,
    TransportError,
)
from outrider.retry import ALARM_AFTER, PERMANENT_S, Over, Streak, Tell


def streak() -> Streak:
    return Streak(Highest(), base_s=0.5, cap_s=lambda: 10)


def test_pauses_double_up_to_the_cap_and_start_again_when_it_worked() -> None:
    tries = streak()
    assert [tries.failed(TransportError("no"), 0).pause_s for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    tries.worked(0)
    assert tries.failed(TransportError("no"), 0).pause_s == 0.5


def test_a_peer_that_has_no_time_makes_pauses_grow_and_is_no_failure() -> None:
    tries = streak()
    assert [tries.later() for _ in range(3)] == [0.5, 1, 2]
    assert tries.failures == 0
    assert tries.worked(0) is None


def test_a_million_tries_do_not_overflow() -> None:
    tries = streak()
    tries._pauses = 10**6
    assert tries.later() == 10


def test_pauses_are_spread_from_zero_to_the_longest() -> None:
    random = Random(7)
    pauses = [Streak(random, base_s=8, cap_s=lambda: 10).failed(TransportError("no"), 0).pause_s for _ in range(1000)]
    assert 0 <= min(pauses) < 0.1
    assert 7.9 < max(pauses) <= 8
    assert 3.5 < sum(pauses) / 1000 < 4.5


def test_what_only_a_person_mends_alarms_at_once_and_rests_for_five_minutes() -> None:
    tries = streak()
    error = HeldBackError("too much would go")
    assert tries.failed(error, 0) == (PERMANENT_S, Tell.ALARM)
    assert tries.failed(error, 300) == (PERMANENT_S, Tell.NOTHING)
    assert tries.failed(HeldBackError("generation 8 is bad"), 600) == (PERMANENT_S, Tell.ALARM)
    assert tries.failed(HeldBackError("generation 9 is bad"), 900) == (PERMANENT_S, Tell.ALARM), "each number counts"


def test_a_peer_s_fault_starts_slower_and_rests_after_the_alarm() -> None:
    tries = streak()
    found = [tries.failed(ProtocolError("a frame of 9 bytes"), 0) for _ in range(ALARM_AFTER + 2)]
    assert [again.pause_s for again in found] == [2, 4, 8, 10, 120, 120, 120]
    assert [again.tell for again in found] == [Tell.LINE] * 4 + [Tell.ALARM] + [Tell.NOTHING] * 2


def test_what_time_mends_is_no_alarm_before_it_has_lasted_and_never_rests() -> None:
    tries = streak()
    told = [tries.failed(TransportError(f"port {number} is closed"), 5 * number) for number in range(10)]
    assert [again.tell for again in told] == [Tell.LINE] * 4 + [Tell.NOTHING] * 2 + [Tell.ALARM] + [Tell.NOTHING] * 3
    assert max(again.pause_s for again in told) == 10


def test_causes_that_take_turns_are_told_apart_and_alarm_once_each() -> None:
    tries = streak()
    told = [
        tries.failed(error, number).tell for number in range(50) for error in (PeerError("this"), PeerError("that"))
    ]
    assert told.count(Tell.ALARM) == 2
    assert told.count(Tell.LINE) == 2 * (ALARM_AFTER - 1)


def test_what_is_over_is_told_with_its_length() -> None:
    tries = streak()
    for second in (10, 20, 70):
        tries.failed(TransportError("no"), second)
    assert tries.worked(130) == Over(3, 120, alarmed=False)
    assert tries.worked(140) is None


@pytest.mark.parametrize(
    ("error", "nature"),
    [
        (TransportError("x"), Nature.TEMPORARY),
        (SyncError("x"), Nature.TEMPORARY),
        (StoreBusyError("x"), Nature.TEMPORARY),
        (StoreError("x", errno.ENOSPC, "/srv"), Nature.TEMPORARY),
        (StoreError("x", errno.EROFS, "/srv"), Nature.PERMANENT),
        (StoreError("x", errno.EACCES, "relative"), Nature.PERMANENT),
        (HeldBackError("x"), Nature.PERMANENT),
        (NotExtendedError("x"), Nature.PERMANENT),
        (SettingsError("x"), Nature.PERMANENT),
        (RefusedByPeer(3028), Nature.TEMPORARY),
        (RefusedByPeer(3029), Nature.PERMANENT),
        (RefusedByPeer(3031), Nature.PERMANENT),
        (RefusedByPeer(3000), Nature.PEER),
        (ProtocolError("x"), Nature.PEER),
        (SyncError("not applied").like(StoreError("x", errno.EROFS, "/srv")), Nature.PERMANENT),
    ],
)
def test_each_error_says_what_mends_it(error: OutriderError, nature: Nature) -> None:
    assert error.nature is nature


def test_what_the_system_said_tells_what_to_wait_for() -> None:
    assert StoreError("x", errno.ENOSPC, "/srv/a").awaits == Awaits("space", "/srv/a")
    assert StoreError("x", errno.EACCES, "/srv/a").awaits == Awaits("file", "/srv/a")
    assert StoreError("x", errno.EACCES, "relative").awaits is None
    assert StoreError("x", errno.EIO, "/srv/a").awaits is None
    assert SyncError("y").like(StoreError("x", errno.ENOENT, "/srv/a")).awaits == Awaits("file", "/srv/a")
