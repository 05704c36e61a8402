"""What a call answers: typed values and their JSON; class names that lead nowhere but to our tables."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from tests.recordings.vectors import session

from outrider.model import NodeInfo
from outrider.protocol.faults import TITLES, Failure, NodeError
from outrider.protocol.results import (
    AffectedItemsWazuhResult,
    Unhandled,
    WazuhResult,
    decode_result,
    encode_result,
    revive,
)


def recorded() -> list[bytes]:
    strings = [exchange.payload for exchange in session() if exchange.name.split(" ")[0] == "str_upd"]
    return [text for string in strings if (text := string.split(b" ", 1)[1]).startswith(b'{"__wazuh_result__"')]


def test_there_are_recordings() -> None:
    assert len(recorded()) == 4


@pytest.mark.parametrize("text", recorded())
def test_a_recorded_result_is_read_and_written_byte_for_byte(text: bytes) -> None:
    value = decode_result(text)
    assert isinstance(value, WazuhResult | AffectedItemsWazuhResult)
    assert encode_result(value) == text
    assert encode_result(revive(json.loads(text))) == text


def test_dates_within_a_result_stay_data_until_they_are_wanted() -> None:
    (text,) = (text for text in recorded() if b"dateAdd" in text)
    shallow, deep = decode_result(text), revive(json.loads(text))
    assert shallow.affected_items[0]["dateAdd"] == {"__wazuh_datetime__": "2026-11-23T21:21:15+00:00"}
    assert deep.affected_items[0]["dateAdd"] == datetime(2026, 11, 23, 21, 21, 15, tzinfo=UTC)


FAILURE = Failure(
    name="WazuhResourceNotFound",
    code=1701,
    extra_message="no agent",
    extra_remediation="look it up",
    dapi_errors={"worker1": NodeError("Error 1701", "log")},
    ids=["004"],
)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "\u00e9\ud800", {"a": None}],
        WazuhResult({"a": 1}, ["x"]),
        AffectedItemsWazuhResult(
            affected_items=["1"],
            total_affected_items=1,
            sort_fields=["id"],
            total_failed_items=1,
            dikt={"k": "v"},
            all_msg="all",
            some_msg="some",
            none_msg="none",
            failed=[(FAILURE, ["004"])],
        ),
        FAILURE,
        Failure.internal("why"),
        Failure(code=1, extra_message={"a": 1}, cmd_error=True),
        Unhandled("KeyError", ["x", 1]),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        date(2026, 1, 2),
    ],
)
def test_writing_and_reading_are_inverse(value: Any) -> None:
    assert decode_result(encode_result(value)) == value


@pytest.mark.parametrize("name", TITLES)
def test_each_class_of_7_2_has_its_title_and_the_keys_that_an_old_peer_knows(name: str) -> None:
    body = Failure(name=name, code=1, ids=["1"]).parts()["__object__"]
    assert body["title"] == TITLES[name]
    plain = {"WazuhException", "WazuhInternalError", "WazuhClusterError", "WazuhHAPHelperError"}
    assert ("ids" in body) == (name not in plain)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure(code=3020, extra_message="x"), "Error 3020 - Timeout sending request: x"),
        (Failure(code=1014, extra_message="'d'"), "Error 1014 - Error communicating with socket: 'd'"),
        (Failure(code=7, extra_message="words", cmd_error=True), "Error 7 - words"),
        (Failure(code=7), "Error 7 - Bad Request"),
        (Failure(code=7, extra_message={"a": "{0.__class__}"}), 'Error 7 - Bad Request: {"a": "{0.__class__}"}'),
    ],
)
def test_the_printed_form(failure: Failure, text: str) -> None:
    assert str(failure) == text


def test_values_of_ours_become_plain_data() -> None:
    node = NodeInfo(name="n", type="worker", version="1", address="")
    assert json.loads(encode_result({"node": node, "map": MappingProxyType({"a": 1})})) == {
        "node": {"name": "n", "type": "worker", "version": "1", "address": ""},
        "map": {"a": 1},
    }


def circle() -> list[Any]:
    one: list[Any] = []
    one.append(one)
    return one


def deep() -> list[Any]:
    one: list[Any] = []
    for _ in range(100_000):
        one = [one]
    return one


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", {(1, 2): 3}, float("nan"), float("inf"), circle(), deep()])
def test_threat_49_what_cannot_be_sent_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"keys must be|cannot be sent|not JSON compliant|Circular|recursion"):
        encode_result(value)


@pytest.mark.parametrize(
    "data",
    [
        {"__wazuh_result__": {"__class__": "subprocess.Popen", "__object__": {"args": ["id"]}}},
        {"__wazuh_result__": {"__class__": "Failure", "__object__": {"code": 1}}},
        {"__wazuh_result__": {"__class__": ["WazuhResult"], "__object__": {}}},
        {"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"result": 1}}},
        {"__wazuh_result__": {"__class__": "AffectedItemsWazuhResult", "__object__": {"affected_items": []}}},
        {"__wazuh_result__": []},
        {"__wazuh_exception__": {"__class__": "OSError", "__object__": {"code": 1}}},
        {"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": "x"}}},
        {"__wazuh_exception__": None},
        {"__wazuh_datetime__": "yesterday"},
        {"__wazuh_datetime__": 5},
        {"__unhandled_exc__": {"__class__": 1, "__args__": []}},
        {"__callable__": {"__name__": "system", "__module__": "os", "__qualname__": "system", "__type__": "function"}},
        {"__class__": "os.system"},
        {"__reduce__": ["os.system", ["id"]]},
        {"__wazuh_datetime__": "2026-01-02", "more": 1},
    ],
)
def test_threat_18_what_is_in_no_table_stays_data(data: Any) -> None:
    text = json.dumps(data).encode()
    assert decode_result(text) == data
    assert revive([data]) == [data]
