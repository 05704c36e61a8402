"""When a worker asks for all groups, and how it waits longer each time that does not help."""

from __future__ import annotations

import pytest

from outrider.model import GroupAssignment
from outrider.sync.agent_groups import Agreement, Mismatches, OnlyHere, only_here

EQUAL, DIFFERENT, ASK = Agreement.EQUAL, Agreement.DIFFERENT, Agreement.ASK


def asks(counter: Mismatches, messages: int) -> list[int]:
    """After which of so many messages, all of them different, everything is asked for."""
    return [number for number in range(1, messages + 1) if counter.different() is ASK]


def test_after_the_limit_of_mismatches_in_a_row_everything_is_asked_for() -> None:
    counter = Mismatches(lambda: 3)
    pairs = [("a", "b"), ("a", None), ("a", "a"), ("a", "b"), (None, "b"), ("a", "b")]
    assert [counter.compare(*pair) for pair in pairs] == [DIFFERENT, DIFFERENT, EQUAL, DIFFERENT, DIFFERENT, ASK]


def test_none_equals_none_and_a_limit_of_one_asks_at_once() -> None:
    counter = Mismatches(lambda: 1)
    assert counter.compare(None, None) is EQUAL
    assert counter.compare("a", None) is ASK


def test_threat_43_what_does_not_help_is_asked_for_ever_more_rarely_up_to_a_limit() -> None:
    assert asks(Mismatches(lambda: 2), 600) == [2, 6, 14, 30, 62, 126, 254, 382, 510]
    counter = Mismatches(lambda: 2)
    assert asks(counter, 100_000)[-1] > 99_000, "it never gives up"


@pytest.mark.parametrize("heal", [Mismatches.healed, lambda counter: counter.compare("x", "x")])
def test_once_in_step_the_counter_starts_anew(heal: object) -> None:
    counter = Mismatches(lambda: 2)
    asks(counter, 14)
    assert (counter.in_vain, counter.needed) == (3, 16)
    assert callable(heal)
    heal(counter)
    assert (counter.in_vain, counter.needed) == (0, 2)
    assert asks(counter, 6) == [2, 6]


def test_a_question_that_nobody_heard_does_not_count_as_in_vain() -> None:
    counter = Mismatches(lambda: 2)
    asks(counter, 2)
    counter.unasked()
    assert asks(counter, 2) == [2]
    counter.healed()
    counter.unasked()
    assert counter.needed == 2


def test_agents_with_groups_that_only_this_node_has_are_found() -> None:
    ours = [GroupAssignment(number, ("a",) if number % 2 else ()) for number in range(1, 60)]
    alone = only_here(ours[:30], {1, 3})
    assert str(alone) == "13 (5, 7, 9, 11, 13, 15, 17, 19, 21, 23, ...)"
    assert only_here(ours[30:], set(), alone) == OnlyHere(28, alone.first)
    assert str(only_here(ours[:9], {1, 3, 5})) == "2 (7, 9)"
    assert only_here([], set()) == OnlyHere(0, ())
