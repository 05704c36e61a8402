"""Which steps a worker takes, and which it refuses with a reason and a remedy."""

from __future__ import annotations

import pytest

from outrider.errors import HeldBackError
from outrider.sync.generations import Deletions, Known, check_offer, quarantined, taken

KNOWN = Known(lineage="one", number=5, root="e5")


def test_the_next_generation_and_the_same_again_are_taken() -> None:
    check_offer(KNOWN, number=6, lineage="one", root="e6")
    check_offer(KNOWN, number=5, lineage="one", root="e5")
    check_offer(Known(), number=1, lineage="one", root="e1")


def test_threat_30_an_older_generation_is_refused() -> None:
    with pytest.raises(
        HeldBackError, match=r"offers generation 4, this node has taken 5.*remove .outrider/generations there"
    ):
        check_offer(KNOWN, number=4, lineage="one", root="e4")


def test_threat_30_another_state_under_the_same_number_is_refused() -> None:
    with pytest.raises(HeldBackError, match="another generation 5"):
        check_offer(KNOWN, number=5, lineage="one", root="other")


def test_a_master_that_begins_anew_counts_from_one() -> None:
    check_offer(KNOWN, number=1, lineage="two", root="f1")
    assert taken(KNOWN, number=1, lineage="two", root="f1", at=9.0) == Known(lineage="two", number=1, root="f1", at=9.0)


def test_threat_39_what_the_check_did_not_bear_is_not_taken_again() -> None:
    known = quarantined(KNOWN, "e6", "the check failed: syntax")
    with pytest.raises(HeldBackError, match="generation 6 is quarantined on this node: the check failed: syntax"):
        check_offer(known, number=6, lineage="one", root="e6")
    check_offer(known, number=7, lineage="one", root="e7")
    assert taken(known, number=7, lineage="one", root="e7", at=9.0).bad == {"e6": "the check failed: syntax"}


def test_few_bad_roots_are_remembered() -> None:
    known = KNOWN
    for number in range(20):
        known = quarantined(known, f"root{number}", "bad")
    assert list(known.bad) == [f"root{number}" for number in range(4, 20)]
    assert list(quarantined(known, "root4", "again").bad)[-1] == "root4"


@pytest.mark.parametrize(
    ("deleted", "held", "too_many"),
    [(20, 20, False), (21, 21, True), (21, 42, False), (22, 42, True), (0, 0, False), (5000, 10_000, False)],
)
def test_threat_31_more_than_half_and_more_than_twenty_wait(deleted: int, held: int, *, too_many: bool) -> None:
    deletions = Deletions(0.5, 20)
    assert deletions.too_many(deleted, held) == too_many
    assert (deleted > deletions.most(held)) == too_many


def test_a_root_has_stood_since_it_was_taken_first_whatever_its_number() -> None:
    first = taken(Known(), number=1, lineage="one", root="a1", at=5.0)
    again = taken(first, number=2, lineage="one", root="a1", at=9.0)
    assert (first.at, again.at) == (5.0, 5.0)
    assert taken(again, number=3, lineage="one", root="a3", at=11.0).at == 11.0
