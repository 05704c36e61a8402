"""The exception JSON: exactly the keys of specification 7.2 out, anything in."""

from __future__ import annotations

import json

import pytest

from outrider.protocol.faults import Fault, decode_fault, encode_fault, parse_fault, refused

EXAMPLE = (
    b'{"__wazuh_exception__": {"__class__": "WazuhClusterError", "__object__": {"type": "about:blank", '
    b'"title": "Wazuh Cluster Error", "code": 3039, "extra_message": null, "extra_remediation": null, '
    b'"cmd_error": false, "dapi_errors": {}}}}'
)


def test_the_example_of_8_9() -> None:
    assert encode_fault(Fault(3039)) == EXAMPLE
    assert decode_fault(EXAMPLE) == Fault(3039)


def test_an_internal_fault_has_a_class_of_its_own() -> None:
    body = json.loads(encode_fault(Fault(1000, "why"), internal=True))["__wazuh_exception__"]
    assert body["__class__"] == "WazuhInternalError"
    assert body["__object__"]["title"] == "Wazuh Internal Error"
    assert decode_fault(json.dumps({"__wazuh_exception__": body}).encode()) == Fault(1000, "why")


def wrapped(**fields: object) -> bytes:
    return json.dumps({"__wazuh_exception__": {"__object__": fields}}).encode()


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"unknown command 'b'foo''", Fault(3000, "unknown command 'b'foo''")),
        (b"\xff\xfe", Fault(3000, "\ufffd\ufffd")),
        (b"", Fault(3000, "")),
        (b"[]", Fault(3000, "[]")),
        (wrapped(code=3020, extra_message={"node": "w"}, ids=[1]), Fault(3020, '{"node": "w"}')),
        (wrapped(code="3020"), Fault(3020)),
        (wrapped(extra_message="no code"), Fault(3000, wrapped(extra_message="no code").decode())),
        (wrapped(code=[]), Fault(3000, wrapped(code=[]).decode())),
        (wrapped(code=float("inf")), Fault(3000, wrapped(code=float("inf")).decode())),
        (wrapped(code=float("nan")), Fault(3000, wrapped(code=float("nan")).decode())),
        (b"[" * 100_000, Fault(3000, "[" * 100_000)),
    ],
)
def test_whatever_cannot_be_read_is_a_generic_fault_with_its_text(payload: bytes, fault: Fault) -> None:
    assert decode_fault(payload) == fault


def test_an_answer_becomes_an_error_with_code_and_detail() -> None:
    error = refused(encode_fault(Fault(3028, "worker1")))
    assert (error.code, error.detail) == (3028, "worker1")
    assert str(error) == "the peer answered with error 3028: worker1"


def test_a_reported_fault_must_be_json() -> None:
    assert parse_fault(b'{"a": 1}').code == 3000
    with pytest.raises(ValueError, match="Expecting value"):
        parse_fault(b"zz")
