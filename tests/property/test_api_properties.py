"""Requests and results: what is written is read; any bytes are a value or a ValueError, nothing else."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outrider.protocol.api import Request, decode_request
from outrider.protocol.faults import TITLES, Failure, NodeError
from outrider.protocol.merging import merge
from outrider.protocol.results import (
    AffectedItemsWazuhResult,
    Unhandled,
    WazuhResult,
    decode_result,
    encode_result,
    parse,
    revive,
)

TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
FAILURES = st.builds(
    Failure,
    code=st.integers(0, 9999),
    name=st.sampled_from(sorted(TITLES)).filter(lambda name: name not in {"WazuhException", "WazuhInternalError"}),
    extra_message=st.none() | TEXT | OBJECT,
    extra_remediation=st.none() | TEXT,
    cmd_error=st.booleans(),
    dapi_errors=st.dictionaries(TEXT, st.builds(NodeError, TEXT, st.none() | TEXT), max_size=2),
)
ITEMS = st.builds(
    AffectedItemsWazuhResult,
    affected_items=st.lists(JSON, max_size=3),
    total_affected_items=st.integers(0, 9),
    sort_fields=st.none() | st.lists(TEXT, max_size=2),
    sort_casting=st.lists(st.sampled_from(["int", "str", "float", "eval"]), max_size=2),
    sort_ascending=st.lists(st.booleans(), max_size=2),
    dikt=OBJECT,
    all_msg=TEXT,
    failed=st.lists(st.tuples(FAILURES, st.lists(TEXT, max_size=2)), max_size=2),
)
RESULTS = st.builds(WazuhResult, OBJECT, st.none() | st.lists(TEXT, max_size=2))
UNHANDLED = st.builds(Unhandled, TEXT, st.lists(JSON, max_size=2))
ANSWERS = JSON | FAILURES | ITEMS | RESULTS | UNHANDLED | st.datetimes() | st.dates()
NAMES = st.from_regex(r"([a-z]{1,8}(\.[a-z]{1,8})?:)?[A-Za-z_.]{1,12}", fullmatch=True)
REQUESTS = st.builds(
    Request,
    call=NAMES,
    f_kwargs=OBJECT,
    request_type=st.sampled_from(["local_any", "local_master", "distributed_master"]),
    wait_for_complete=st.booleans(),
    from_cluster=st.booleans(),
    local_client_arg=st.none() | TEXT,
    current_user=TEXT,
    nodes=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
    api_timeout=st.none() | st.integers(0, 1000) | st.floats(0, 1000),
    debug=st.booleans(),
)


@given(REQUESTS)
def test_a_request_survives(request: Request) -> None:
    assert decode_request(request.encode()) == request


@given(ANSWERS)
def test_any_answer_survives(answer: Any) -> None:
    assert decode_result(encode_result(answer)) == answer
    assert encode_result(decode_result(encode_result(answer))) == encode_result(answer)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_threat_19_any_bytes_are_a_request_or_a_value_error(payload: bytes) -> None:
    for read in (decode_request, decode_result):
        try:
            read(payload)
        except ValueError:
            continue


@given(REQUESTS, st.data())
def test_threat_19_any_damage_to_a_request_is_a_request_or_a_value_error(request: Request, data: st.DataObject) -> None:
    payload = bytearray(request.encode())
    cut = data.draw(st.integers(0, len(payload)))
    payload[cut : cut + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        decode_request(bytes(payload))
    except ValueError:
        return


@given(st.dictionaries(st.sampled_from(list("abcd")), JSON, max_size=4), JSON)
def test_threat_18_any_body_of_a_special_object_is_a_value_or_stays_data(parts: dict[str, Any], body: Any) -> None:
    for key in ("__wazuh_result__", "__wazuh_exception__", "__wazuh_datetime__", "__unhandled_exc__", "__callable__"):
        for data in ({key: body}, {key: {"__class__": body, "__object__": parts}}, {key: {"__class__": "WazuhResult"}}):
            revive(data)
            encode_result(revive([data]))


@given(st.dictionaries(TEXT, ANSWERS, min_size=1, max_size=4))
def test_any_answers_merge_into_one_that_can_be_sent_and_names_each_failed_node(answers: dict[str, Any]) -> None:
    merged = merge(answers)
    text = encode_result(merged)
    for node, answer in answers.items():
        if isinstance(answer, Unhandled) or (isinstance(answer, Failure) and not answer.dapi_errors):
            assert json.dumps(node)[1:-1].encode() in text


def _plainly(payload: bytes) -> Any:
    """What the interpreter's own reader says, which has no numbers that are none here."""

    def number(text: str) -> float:
        if not isfinite(value := float(text)):
            raise ValueError(text)
        return value

    return json.loads(payload.decode(), parse_constant=number, parse_float=number)


@given(
    st.one_of(
        JSON.map(lambda value: json.dumps(value).encode()),
        JSON.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode()),
        st.text('[]{}",:\\u0123456789abcdefE+-. \tntrue\x1f\x7f\ud7ff', max_size=24).map(str.encode),
        st.binary(max_size=12),
    )
)
def test_the_fast_reader_says_what_the_interpreter_s_own_says(payload: bytes) -> None:
    try:
        wanted = repr(_plainly(payload))
    except (ValueError, RecursionError):
        wanted = "ValueError"
    try:
        got = repr(parse(payload))
    except ValueError:
        got = "ValueError"
    assert got == wanted
