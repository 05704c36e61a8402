"""What becomes of a ring of keys when the cluster key is rotated."""

from __future__ import annotations

import itertools

import pytest

from outrider.protocol.rotation import Order, Standing, Step, decode_order, decode_standing, encode, satisfied
from outrider.settings.key import ClusterKey, key_id

OLD, OLDER, NEW, OWN = (ClusterKey(letter * 32) for letter in "abcd")
STEPS: tuple[Step, ...] = ("add", "seal", "drop")


def order(step: Step) -> Order:
    return Order(step=step, new=bytes(NEW).decode(), old=(key_id(OLD), key_id(OLDER)))


@pytest.mark.parametrize(
    ("step", "ring", "after"),
    [
        ("add", [OLD], [OLD, NEW]),
        ("add", [OLD, OLDER], [OLD, OLDER, NEW]),
        ("seal", [OLD, NEW], [NEW, OLD]),
        ("seal", [OLD, OLDER], [NEW, OLD, OLDER]),
        ("drop", [NEW, OLD, OLDER], [NEW]),
        ("drop", [OLD], [NEW]),
        ("seal", [OWN, OLD], [OWN, OLD, NEW]),
        ("drop", [OWN, OLD], [OWN, NEW]),
    ],
)
def test_a_step_adds_the_key_puts_it_first_or_drops_the_old_ones_and_leaves_a_person_s_alone(
    step: Step, ring: list[ClusterKey], after: list[ClusterKey]
) -> None:
    assert order(step).of(ring) == after


def test_from_any_ring_every_step_is_done_once_and_then_satisfied() -> None:
    for count in (1, 2, 3, 4):
        for ring in itertools.permutations((OLD, OLDER, NEW, OWN), count):
            for step in STEPS:
                after = order(step).of(ring)
                assert order(step).of(after) == after
                ids = [key_id(key) for key in after]
                assert satisfied(step, key_id(NEW), order(step).old, ids)


def test_what_is_missing_is_seen() -> None:
    new, old, older = map(key_id, (NEW, OLD, OLDER))
    assert not satisfied("add", new, (old, older), [old])
    assert not satisfied("seal", new, (old, older), [old, new])
    assert not satisfied("drop", new, (old, older), [new, older])


def test_bodies_are_read_as_they_were_written_and_rubbish_is_a_value_error() -> None:
    standing = Standing(holds=("a", "b"), cannot="no file")
    assert decode_standing(encode(standing)) == standing
    assert decode_order(encode(order("seal"))) == order("seal")
    assert decode_order(b"") is None
    for read in (decode_standing, decode_order):
        for rubbish in (
            b"{",
            b"[]",
            b'{"step": "steal", "new": "x", "old": []}',
            b"\xff",
            b'{"holds": "' + b"x" * 2000,
        ):
            with pytest.raises(ValueError, match=r"\w"):
                read(rubbish)
    with pytest.raises(ValueError, match="characters"):
        Order(step="add", new="short", old=()).of([OLD])
