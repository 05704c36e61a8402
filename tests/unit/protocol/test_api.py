"""The request JSON: exactly the keys of 5.9, checked; names that stay names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.recordings.vectors import session

from outrider.protocol.api import BASIC_SERVICES, Request, decode_request

CALLABLE = {"__callable__": {"__name__": "status", "__module__": "m.n", "__qualname__": "status", "__type__": "f"}}


def callable_of(module: str, qualname: str, **more: Any) -> dict[str, Any]:
    parts = {"__name__": "x", "__module__": module, "__qualname__": qualname, "__type__": "function"}
    return {"__callable__": parts | more}


def payload(**keys: Any) -> bytes:
    return json.dumps({"f": CALLABLE, **keys}).encode()


def recorded() -> list[bytes]:
    requests = [exchange.payload for exchange in session() if exchange.name.split(" ")[0] == "dapi"]
    return [request.split(b" ", 1)[1] for request in requests]


def test_the_recorded_requests() -> None:
    requests = [decode_request(text) for text in recorded()]
    assert [request.call for request in requests] == [
        "wazuh.core.agent:Agent.get_agents_overview",
        "wazuh.core.manager:status",
        "wazuh.agent:get_agents",
        "wazuh.manager:get_status",
    ]
    assert requests[2].f_kwargs == {"limit": 3}
    assert (requests[3].from_cluster, requests[3].nodes) == (True, ("master01", "worker01"))


@pytest.mark.parametrize("text", recorded()[1:])
def test_a_recorded_request_is_written_as_the_original_wrote_it(text: bytes) -> None:
    assert decode_request(text).encode() == text


def test_missing_keys_have_defaults() -> None:
    request = decode_request(payload())
    assert request == Request(call="m.n:status")
    assert request.basic_services == BASIC_SERVICES
    assert request.rbac_permissions == {"rbac_mode": "black"}


def test_the_two_other_keys_are_accepted_and_travel_when_set() -> None:
    request = decode_request(payload(debug=True, remove_denied_nodes=False))
    assert request.debug
    assert json.loads(request.encode())["debug"] is True
    assert "remove_denied_nodes" not in json.loads(request.encode())


def test_what_was_written_before_does_not_show_in_what_is_written_now() -> None:
    rbac: dict[str, Any] = {"rbac_mode": "black"}
    nodes: Any = ["a"]  # a program without type checks may do this
    requests = [
        Request(call="m:x"),
        Request(call="n:y", f_kwargs={"a": 1}),
        Request(call="m:x", nodes=("worker1",), from_cluster=True),
        Request(call="m:x", api_timeout=10),
        Request(call="m:x", debug=True),
        Request(call="m:x", rbac_permissions=rbac),
        Request(call="m:x", nodes=nodes),
    ]
    for request in (*requests, *reversed(requests), *requests):
        rbac["rbac_mode"] = "white" if rbac["rbac_mode"] == "black" else "black"
        nodes.append("b")
        body = json.loads(request.encode())
        assert ("debug" in body) == request.debug
        assert body["rbac_permissions"] == request.rbac_permissions
        assert body["nodes"] == list(request.nodes)
        assert decode_request(request.encode()).call == request.call
        for name in ("f_kwargs", "from_cluster", "api_timeout"):
            assert body[name] == getattr(request, name)


def test_a_call_of_ours_has_no_module() -> None:
    text = Request(call="outrider.ping").encode()
    assert json.loads(text)["f"]["__callable__"] == {
        "__name__": "ping",
        "__module__": "",
        "__qualname__": "outrider.ping",
        "__type__": "function",
    }
    assert decode_request(text).call == "outrider.ping"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"notjson", "Expecting value: line 1 column 1 (char 0)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_threat_19_what_is_not_json_is_refused_in_the_original_s_words(text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        decode_request(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"{}", "missing required field `f`"),
        (b'{"f": "os.system"}', r"Expected `object`, got `str` - at `\$.f`"),
        (b'{"f": {}}', "missing required field `__callable__`"),
        (payload(g=1), "unknown field `g`"),
        (payload(wait_for_complete=1), r"Expected `bool`, got `int` - at `\$.wait_for_complete`"),
        (payload(request_type="everywhere"), "Invalid enum value 'everywhere'"),
        (payload(f_kwargs=[]), r"Expected `object`, got `array` - at `\$.f_kwargs`"),
        (payload(nodes="worker1"), r"Expected `array`, got `str` - at `\$.nodes`"),
        (payload(api_timeout=-1), r"at `\$.api_timeout`"),
        (payload(nodes=["\ud800"]), "letters that are none"),
        (payload(f=callable_of("m", "\udfff")), "letters that are none"),
        (payload(f=callable_of("m", "a\nb")), "letters that are none"),
        (payload(f=callable_of("m", "x" * 257)), "length <= 256"),
        (payload(f=callable_of("m", "x", __wazuh__={"__class__": "A"})), "unknown field `__wazuh__`"),
        (b'{"f": 1, "f_kwargs": {"x": NaN}}', "NaN is not JSON"),
        (b'{"f": 1, "f_kwargs": {"x": 1e999}}', "1e999 is too large a number"),
        (b'{"f": 1, "f_kwargs": {"x": ' + b"9" * 5000 + b"}}", "integer string conversion"),
    ],
)
def test_threat_19_a_request_with_a_wrong_part_is_refused_and_the_part_named(text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_request(text)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [101, 900, 10_000, 1_000_000])
def test_threat_19_nesting_is_limited(opening: bytes, depth: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    deep = opening * depth + b"1" + closing * depth
    for text in (deep, b'{"f_kwargs": {"x": ' + deep + b"}}"):
        with pytest.raises(ValueError, match="deep"):
            decode_request(text)


def test_a_request_may_be_as_deep_as_allowed() -> None:
    deep = json.loads("[" * 98 + "]" * 98)
    assert decode_request(payload(f_kwargs={"x": deep})).f_kwargs == {"x": deep}


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("wazuh.core.agent", "Agent.__class__.__init__.__globals__"),
        ("", "__import__"),
        ("pickle", "loads"),
    ],
)
def test_threat_18_a_name_is_text_and_stays_text(module: str, qualname: str) -> None:
    request = decode_request(payload(f=callable_of(module, qualname)))
    assert request.call == (f"{module}:{qualname}" if module else qualname)
    assert type(request.call) is str
