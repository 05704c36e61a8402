"""Strings: whatever their parts, what was sent comes out, and no limit is passed."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import Refusal
from outrider.protocol.transfer import Strings
from outrider.settings import Limits


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_the_parts_of_a_string_join_to_it(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    strings = Strings(Random(1), lambda: Limits(open_strings=1, string_bytes=500, strings_total=500))
    name = strings.begin(b"%d" % len(whole))
    for part in parts:
        strings.extend(name, part)
    assert strings.take(name) == whole


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.integers(-5, 120)),
    st.tuples(st.just("extend"), st.binary(max_size=150)),
    st.tuples(st.just("drop"), st.integers(-5, 120)),
    st.tuples(st.just("take"), st.integers(0, 3)),
)


@given(st.lists(STEPS, max_size=40), st.integers())
def test_no_order_of_steps_passes_a_limit(steps: list[tuple[str, int | bytes]], seed: int) -> None:
    strings = Strings(Random(1), lambda: Limits(open_strings=3, string_bytes=100, strings_total=150))
    chance = Random(seed)
    names = [b"unknown"]
    for what, value in steps:
        name = chance.choice(names)
        try:
            if what == "begin":
                names.append(strings.begin(str(value).encode()))
            elif what == "extend":
                assert isinstance(value, bytes)
                strings.extend(name, value)
            elif what == "drop":
                strings.drop_unused(str(value).encode())
            else:
                taken = strings.take(name)
                assert taken is None or len(taken) <= 100
        except Refusal as refusal:
            assert refusal.code == 1000  # noqa: PT017  (a refusal is as right as an answer)
        assert len(strings) <= 3
        assert strings.held <= 150
