"""Faults: writing and reading are inverse; any bytes are some fault."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from outrider.protocol.faults import Fault, decode_fault, encode_fault, refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(0, 9999), st.none() | st.text(), st.booleans())
def test_a_fault(code: int, detail: str | None, internal: bool) -> None:
    payload = encode_fault(Fault(code, detail), internal=internal)
    assert payload.isascii()
    assert decode_fault(payload) == Fault(code, detail)
    error = refused(payload)
    assert (error.code, error.detail) == (code, detail)


@given(st.binary())
def test_any_bytes_are_some_fault(payload: bytes) -> None:
    assert isinstance(decode_fault(payload), Fault)


@given(JSON, JSON)
def test_any_json_is_some_fault(code: object, extra: object) -> None:
    body = {"__wazuh_exception__": {"__object__": {"code": code, "extra_message": extra}}}
    fault = decode_fault(json.dumps(body).encode())
    assert isinstance(fault.code, int)
    assert fault.detail is None or isinstance(fault.detail, str)
    assert isinstance(decode_fault(json.dumps(extra).encode()), Fault)
