"""Bodies of the fast path: writing and reading are inverse; what is no body raises ValueError and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.protocol import generations as g

ROOTS = st.binary(min_size=64, max_size=64)
SIXTEEN = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(0, 2**64 - 1)
OFFERS = st.builds(g.Offer, NUMBERS, ROOTS, SIXTEEN, SIXTEEN, st.binary(max_size=300), st.booleans(), st.booleans())
ANSWERS = st.one_of(
    st.builds(g.InStep, NUMBERS, SIXTEEN),
    OFFERS,
    st.builds(g.Unknown),
    st.builds(g.Wanted, st.lists(st.text(max_size=50), max_size=5).map(tuple)),
    st.builds(g.News, NUMBERS),
)
BODIES: list[tuple[st.SearchStrategy[Any], Callable[[bytes], Any]]] = [
    (st.builds(g.Standing, ROOTS, NUMBERS), g.decode_standing),
    (ANSWERS, g.decode_answer),
    (st.builds(g.Read, SIXTEEN, NUMBERS), g.decode_read),
    (st.builds(g.Done, NUMBERS, ROOTS, st.text(max_size=100)), g.decode_done),
]


@given(st.data())
def test_each_body_comes_back(data: st.DataObject) -> None:
    bodies, decode = data.draw(st.sampled_from(BODIES))
    body = data.draw(bodies)
    assert decode(g.encode(body)) == body


@given(st.data(), st.binary(max_size=200))
def test_threat_06_anything_else_is_a_value_error(data: st.DataObject, noise: bytes) -> None:
    bodies, decode = data.draw(st.sampled_from(BODIES))
    whole = g.encode(data.draw(bodies))
    for wrong in (noise, whole[: data.draw(st.integers(0, len(whole) - 1))], whole + noise):
        try:
            decode(wrong)
        except ValueError:
            continue


@given(ROOTS, ROOTS)
def test_a_step_has_one_name_and_its_way_back_another(base: bytes, root: bytes) -> None:
    assert len(g.ticket_of(base, root)) == 16
    assert g.ticket_of(base, root) == g.ticket_of(base, root)
    assert (g.ticket_of(base, root) == g.ticket_of(root, base)) == (base == root)


@given(st.binary(max_size=2000))
def test_the_last_part_may_have_any_length(data: bytes) -> None:
    read, last = g.decode_part(g.encode_part(data, last=True))
    assert (bytes(read), last) == (data, True)


@pytest.mark.parametrize("size", [0, g.PART_BYTES])
def test_a_part_before_the_last_is_full_or_empty(size: int) -> None:
    read, last = g.decode_part(g.encode_part(b"x" * size, last=False))
    assert (len(read), last) == (size, False)


@pytest.mark.parametrize(
    "payload", [b"", b"\x02", b"\x00short", b"\x01" + b"x" * (g.PART_BYTES + 1), b"\x00" + b"x" * (g.PART_BYTES + 1)]
)
def test_threat_07_what_is_no_part_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="part"):
        g.decode_part(payload)


def test_a_root_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        g.decode_standing(g.encode(g.Standing(b"short", 1)))


def test_what_costs_little_is_little() -> None:
    """A check that finds nothing: at most 200 bytes with both frames' headers and their records of TLS."""
    question, answer = g.encode(g.Standing(b"r" * 64, 2**32)), g.encode(g.InStep(2**32, b"l" * 16))
    assert len(question) + len(answer) + 2 * (20 + 22) <= 200
