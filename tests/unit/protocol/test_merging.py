"""Several nodes' answers become one, and no failure is lost."""

from __future__ import annotations

from typing import Any

import pytest

from outrider.protocol.faults import Failure, NodeError
from outrider.protocol.merging import merge
from outrider.protocol.results import AffectedItemsWazuhResult, Unhandled, WazuhResult, encode_result


def items(*affected: Any, **more: Any) -> AffectedItemsWazuhResult:
    return AffectedItemsWazuhResult(affected_items=list(affected), total_affected_items=len(affected), **more)


def test_items_of_all_nodes_stand_together() -> None:
    merged = merge({"a": items({"n": 1}, all_msg="all"), "b": items({"n": 2}, all_msg="other")})
    assert merged == items({"n": 1}, {"n": 2}, all_msg="all")


def test_items_are_sorted_as_the_result_says() -> None:
    assert merge({"a": items("10", "9"), "b": items("8")}).affected_items == ["8", "9", "10"]
    order = {"sort_fields": ["os.name", "id"], "sort_casting": ["str", "int"], "sort_ascending": [False, True]}
    one, two, three = ({"id": str(number), "os": {"name": name}} for number, name in ((10, "a"), (9, "a"), (1, "b")))
    assert merge({"a": items(one, **order), "b": items(two, three)}).affected_items == [three, two, one]


@pytest.mark.parametrize("casting", [["os.system"], ["__import__"], ["int", "int"], ["eval"]])
def test_threat_18_a_sort_that_does_not_fit_leaves_the_order(casting: list[str]) -> None:
    merged = merge({"a": items("2", sort_casting=casting), "b": items("1")})
    assert merged.affected_items == ["2", "1"]


def test_failed_items_of_one_kind_are_one_entry() -> None:
    gone = Failure(name="WazuhResourceNotFound", code=1701, ids=["1"])
    also = Failure(name="WazuhResourceNotFound", code=1701, ids=["2"])
    other = Failure(code=1703)
    merged = merge(
        {
            "a": items("x", failed=[(gone, ["1"]), (other, ["9"])], total_failed_items=2),
            "b": items(failed=[(also, ["2", "1"])], total_failed_items=2),
        }
    )
    assert [(failure.code, ids) for failure, ids in merged.failed] == [(1701, ["1", "2"]), (1703, ["9"])]
    assert (merged.total_affected_items, merged.total_failed_items) == (1, 4)


def test_a_node_that_failed_becomes_a_failed_item() -> None:
    merged = merge({"a": items("x"), "b": Failure.of_cluster(3021), "c": Unhandled("KeyError", ["k"])})
    assert merged.affected_items == ["x"]
    assert merged.total_failed_items == 2
    assert [ids for _, ids in merged.failed] == [["b"], ["c"]]
    timeout, unhandled = (failure for failure, _ in merged.failed)
    assert timeout.dapi_errors == {"b": NodeError("Error 3021 - Timeout executing API request")}
    assert (unhandled.code, unhandled.extra_message) == (1000, "KeyError: k")


def test_where_all_nodes_failed_the_answer_is_a_failure_that_names_them() -> None:
    merged = merge({"a": Failure(code=1, ids=["x"]), "b": Failure(code=2, ids=["y", "x"])})
    assert isinstance(merged, Failure)
    assert (merged.code, merged.ids, list(merged.dapi_errors)) == (1, ["x", "y"], ["a", "b"])


def test_a_plain_result_has_no_place_for_a_failure() -> None:
    merged = merge({"a": WazuhResult({"x": 1}), "b": Failure(code=2)})
    assert isinstance(merged, Failure)
    assert list(merged.dapi_errors) == ["b"]


def test_plain_results_are_merged_key_by_key() -> None:
    one = {"items": [1, 2], "total": 2, "state": "stopped", "ok": True, "inner": {"a": 1}, "odd": 1, "none": None}
    two = {"items": [2, 3], "total": 2, "state": "running", "ok": False, "inner": {"b": 2}, "odd": "1", "none": None}
    merged = merge({"a": WazuhResult(one, ["running", "stopped"]), "b": WazuhResult(two)})
    assert merged.str_priority == ["running", "stopped"]
    assert merged.result == {
        "items": [1, 2, 3],
        "total": 4,
        "state": "running",
        "ok": False,
        "inner": {"a": 1, "b": 2},
        "odd": 1,
        "none": None,
    }


def test_plain_data_stays_apart() -> None:
    answers = {"a": {"pong": 1}, "b": Failure(code=2)}
    assert merge(answers) == answers
    assert encode_result(merge(answers)).startswith(b'{"a": {"pong": 1}, "b": {"__wazuh_exception__"')


def test_a_single_answer_is_itself() -> None:
    assert merge({"a": items("x")}) == items("x")


def test_nobody_asked() -> None:
    with pytest.raises(ValueError, match="no node was asked"):
        merge({})


def test_answers_that_cannot_be_merged_are_a_failure() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    merged = merge({"a": WazuhResult({"x": deep}), "b": WazuhResult({"x": deep})})
    assert isinstance(merged, Failure)
    assert "cannot be merged" in str(merged)
