"""Whatever is asked of get_nodes and get_health is answered in JSON or refused, and nothing else is told."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from outrider.errors import Refusal
from outrider.model import NodeInfo
from outrider.relay.control import FIELDS, health_answer, health_names, nodes_answer

NAMES = st.sampled_from(["head", "w1", "w2", "w3", ""])
NODES = [
    NodeInfo(name=name, type="worker" if name != "head" else "master", version="4.9.2", address=f"192.0.2.{number}")
    for number, name in enumerate(["head", "w2", "w1"])
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "filter_node": JSON | st.lists(NAMES),
        "offset": st.integers(-1, 4),
        "limit": st.integers(0, 4) | st.none(),
        "sort": JSON
        | st.fixed_dictionaries(
            {"fields": st.lists(st.sampled_from(FIELDS), max_size=4), "order": st.sampled_from(["asc", "desc"])}
        ),
        "search": JSON | st.fixed_dictionaries({"value": st.text(max_size=2), "negation": st.booleans()}),
        "select": JSON | st.lists(st.sampled_from(FIELDS)),
        "filter_type": st.sampled_from(["all", "worker", "master", "client"]),
        "distinct": st.booleans(),
    },
)


@given(LIKELY | JSON)
def test_nodes_are_a_part_of_those_that_there_are(arguments: Any) -> None:
    with contextlib.suppress(Refusal, ValueError):
        answer = json.loads(nodes_answer(json.dumps(arguments).encode(), NODES))
        everything = [{"name": n.name, "type": n.type, "version": n.version, "ip": n.address} for n in NODES]
        assert len(answer["items"]) <= answer["totalItems"] <= len(NODES)
        for item in answer["items"]:
            assert any(item.items() <= one.items() for one in everything)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'["\\ud800"]')
def test_health_is_of_those_who_were_named_or_a_refusal(arguments: bytes) -> None:
    with contextlib.suppress(Refusal, ValueError):
        names = health_names(arguments)
        nodes = json.loads(health_answer(names, NODES[0], 0, []))["nodes"]
        assert set(nodes) == ({"head"} if names is None else set(names))
