"""Cutting records into chunks, and what an answer means for what was sent."""

from __future__ import annotations

import pytest

from outrider.sync.agent_info import Pace, Step, Verdict, cut, halves, judge, judge_failure, records_of


def test_chunks_hold_as_many_records_as_fit_and_what_fits_nowhere_is_told_apart() -> None:
    found = cut(b"11\n22\n33\n44444444444\n5\n6\n", limit=8)
    assert found.chunks == [b"[11,22]", b"[33,5,6]"]
    assert found.too_large == [b"44444444444"]
    assert cut(b"", limit=8) == ([], [])
    assert cut(b"123456\n", limit=8).chunks == [b"[123456]"]
    assert cut(b"1234567\n", limit=8) == ([], [b"1234567"])


def test_halves_keep_each_record_byte_for_byte() -> None:
    assert halves(b'[{"a": 1.0},\n2 ,"\\u00e9"]') == (b'[{"a": 1.0}]', b'[2,"\\u00e9"]')
    assert records_of(b"[1, 2]") == [b"1", b"2"]


@pytest.mark.parametrize(
    ("updated", "errors", "verdict"),
    [
        (3, [], Verdict.KEPT),
        (2, [], Verdict.SHORT),
        (4, [], Verdict.SHORT),
        (2, ["Cannot execute Global database query; UNIQUE constraint failed: agent.id"], Verdict.REFUSED),
        (2, ["Error 2003 - Error in wazuhdb request: Invalid JSON syntax, near 'x'"], Verdict.REFUSED),
        (0, ["Cannot execute Global database query; database is locked"], Verdict.LATER),
        (0, ["Couldn't open DB global"], Verdict.LATER),
        (2, ['Invalid JSON data in 1 of 2 records, first {"name":"database is locked"}'], Verdict.REFUSED),
        (0, ["3 of 3 chunks not written in time, within 40 s"], Verdict.SLOW),
        (2, ["1 of 3 chunks not written in time, within 40 s"], Verdict.SHORT),
        (1, ["database is locked", "UNIQUE constraint failed"], Verdict.REFUSED),
    ],
)
def test_a_result_is_a_confirmation_only_if_it_counts_every_chunk_and_names_no_error(
    updated: int, errors: list[str], verdict: Verdict
) -> None:
    assert judge(3, updated, errors) is verdict


def test_what_the_master_could_not_read_is_tried_in_smaller_messages_everything_else_again() -> None:
    assert judge_failure("error while trying to load JSON: Expecting value") is Verdict.SHORT
    assert judge_failure("error while trying to access string under task_id b'1'.") is Verdict.LATER
    assert judge_failure("error processing agent-info chunks in process pool: no socket") is Verdict.LATER


def test_a_refused_message_is_halved_down_to_its_record_and_the_rest_goes_on() -> None:
    pace = Pace(8)
    assert pace.learn(Verdict.REFUSED, 8, 0) is Step.AGAIN
    assert pace.chunks == 4
    assert pace.learn(Verdict.KEPT, 4, 0) is Step.CONFIRM
    assert pace.learn(Verdict.REFUSED, 4, 0) is Step.AGAIN
    assert pace.learn(Verdict.REFUSED, 2, 0) is Step.AGAIN
    assert pace.learn(Verdict.REFUSED, 1, 2) is Step.SPLIT
    assert pace.learn(Verdict.REFUSED, 1, 1) is Step.PUT_ASIDE
    for left in (1, 1):
        assert pace.chunks == left
        assert pace.learn(Verdict.KEPT, left, 5) is Step.CONFIRM
    assert pace.chunks == 2
    assert pace.learn(Verdict.KEPT, 2, 0) is Step.CONFIRM
    assert pace.chunks == 8


def test_a_master_that_runs_out_of_time_gets_smaller_messages_until_it_keeps_up() -> None:
    pace = Pace(64)
    assert pace.learn(Verdict.SHORT, 64, 0) is Step.AGAIN
    assert [pace.learn(Verdict.KEPT, pace.chunks, 0) for _ in range(2)] == [Step.CONFIRM] * 2
    assert pace.chunks == 64
    assert pace.learn(Verdict.SHORT, 64, 0) is Step.AGAIN
    assert pace.learn(Verdict.SHORT, 32, 0) is Step.AGAIN
    assert pace.chunks == 16


def test_a_master_that_is_too_slow_for_any_of_it_gets_less_each_time_and_blames_no_record() -> None:
    pace = Pace(64)
    sizes = []
    for _ in range(10):
        sizes.append(pace.chunks)
        assert pace.learn(Verdict.SLOW, pace.chunks, 9) is Step.WAIT
    assert sizes == [64, 32, 16, 8, 4, 2, 1, 1, 1, 1]
    kept = []
    while pace.chunks < 64:
        kept.append(pace.chunks)
        assert pace.learn(Verdict.KEPT, pace.chunks, 9) is Step.CONFIRM
    assert kept[:7] == [1, 1, 2, 4, 8, 16, 32]


def test_a_record_that_is_never_confirmed_is_put_aside_after_three_tries() -> None:
    pace = Pace(8)
    assert [pace.learn(Verdict.SHORT, 1, 1) for _ in range(3)] == [Step.WAIT, Step.WAIT, Step.PUT_ASIDE]
    assert pace.learn(Verdict.SHORT, 1, 1) is Step.WAIT


def test_trouble_of_the_moment_changes_nothing() -> None:
    pace = Pace(8)
    for _ in range(100):
        assert pace.learn(Verdict.LATER, 1, 1) is Step.WAIT
    assert pace.chunks == 8
