"""A worker's turn (specification 5.3)."""

from __future__ import annotations

from outrider.sync.permission import Permission


def test_one_turn_for_each_scan() -> None:
    turn = Permission(lambda: 1000)
    assert turn.ask(1, 0)
    assert not turn.ask(1, 1)
    assert turn.ask(2, 2)
    assert turn.ask(7, 3)


def test_asking_while_a_round_runs_uses_up_the_turn() -> None:
    turn = Permission(lambda: 1000)
    turn.lock(0)
    assert not turn.ask(1, 1)
    turn.release()
    assert turn.free
    assert not turn.ask(1, 2)
    assert turn.ask(2, 3)


def test_a_stuck_lock_is_released_at_the_next_question() -> None:
    turn = Permission(lambda: 1000)
    turn.lock(0)
    assert not turn.ask(1, 1000)
    assert turn.ask(2, 1000.5)
    assert turn.free
