"""The probe: a round trip, any bytes, and an agreement that does not depend on who asked."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from outrider.protocol.abilities import TLS, Abilities, Range, agree

NUMBERS = st.integers(1, 2**31)
WORDS = st.text(max_size=128)
ABILITIES = st.builds(
    Abilities,
    protocol=st.builds(Range, NUMBERS, NUMBERS),
    version=WORDS,
    node=WORDS,
    features=st.lists(st.sampled_from([TLS, "generations", "x"]) | WORDS, max_size=8).map(tuple),
    certificate=st.text(max_size=300),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner)
)


@given(ABILITIES)
def test_what_is_said_is_what_is_heard(said: Abilities) -> None:
    assert Abilities.decode(said.encode()) == said


@given(ABILITIES, st.dictionaries(WORDS.filter(lambda name: name not in Abilities.__struct_fields__), JSON, max_size=4))
def test_threat_45_whatever_else_is_said_changes_nothing(said: Abilities, more: dict[str, object]) -> None:
    assert Abilities.decode(json.dumps({**json.loads(said.encode()), **more}).encode()) == said


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_threat_06_any_bytes_are_abilities_or_a_value_error(payload: bytes) -> None:
    with contextlib.suppress(ValueError):
        Abilities.decode(payload)


@given(ABILITIES, ABILITIES)
def test_both_ends_come_to_the_same_agreement_and_it_is_one_that_both_can_keep(
    one: Abilities, other: Abilities
) -> None:
    agreement = agree(one, other)
    assert agreement == agree(other, one)
    if agreement is not None:
        assert one.protocol.least <= agreement.number <= one.protocol.most
        assert other.protocol.least <= agreement.number <= other.protocol.most
        assert agreement.features == set(one.features) & set(other.features)
        assert TLS in agreement.features


@given(NUMBERS.filter(lambda number: number > 1))
def test_threat_45_neighbours_that_each_speak_their_own_number_and_the_one_before_agree(number: int) -> None:
    older, newer = Range(max(number - 2, 1), number - 1), Range(number - 1, number)
    assert older.highest_common(newer) == number - 1
