"""Work that goes on at once shares what it costs, and each has its number."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.working import Shares, under_way


class Cpu:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_alone_it_costs_what_the_process_takes() -> None:
    cpu = Cpu()
    cpu.seconds = 100.0
    shares = Shares(cpu)
    with shares.working() as work:
        cpu.seconds += 2
        assert work.cpu_seconds == 2
        cpu.seconds += 1
    cpu.seconds += 50
    assert work.cpu_seconds == 3


def test_two_at_once_share_it() -> None:
    cpu = Cpu()
    shares = Shares(cpu)
    with shares.working() as long:
        cpu.seconds += 1
        with shares.working() as short:
            cpu.seconds += 4
        cpu.seconds += 1
    assert (long.cpu_seconds, short.cpu_seconds) == (4, 2)


def test_what_ends_with_an_error_has_ended() -> None:
    cpu = Cpu()
    shares = Shares(cpu)
    with pytest.raises(ValueError, match="no"), shares.working():
        raise ValueError("no")
    with shares.working() as work:
        cpu.seconds += 1
    assert work.cpu_seconds == 1


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10))))
def test_all_of_it_is_somebody_s(steps: list[tuple[bool, float]]) -> None:
    """Steps begin a piece of work or end the last one, then time passes; what passes while nobody works is nobody's."""
    cpu = Cpu()
    shares = Shares(cpu)
    open_, done, worked = [], [], 0.0
    for begin, seconds in steps:
        if begin:
            stack = ExitStack()
            done.append(stack.enter_context(shares.working()))
            open_.append(stack)
        elif open_:
            open_.pop().close()
        cpu.seconds += seconds
        worked += seconds if open_ else 0.0
    while open_:
        open_.pop().close()
    assert sum(work.cpu_seconds for work in done) == pytest.approx(worked)


def test_the_log_can_tell_under_which_number_it_runs() -> None:
    shares = Shares()
    assert under_way.get() is None
    with shares.working():
        assert under_way.get() == "00000001"
        with shares.working():
            assert under_way.get() == "00000002"
        assert under_way.get() == "00000001"
    assert under_way.get() is None
