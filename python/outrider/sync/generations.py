"""Which steps a worker takes: numbers only grow, what failed here is not taken again, and no step empties a tree.

Values in, verdicts out. A step that is refused leaves the tree as it is; each text names the remedy.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct, field, structs

from outrider.codes import Code
from outrider.errors import HeldBackError


class Known(Struct, frozen=True, kw_only=True):
    """What a worker remembers of its master's generations; roots and the lineage are hex digits.

    ``bad`` are roots that its own check did not bear, or that a person rolled back, with the reason; ``approved`` is
    the root whose step may delete what it wants; ``at`` is when the root was taken, in Unix seconds, 0: nobody knows.
    """

    lineage: str = ""
    number: Annotated[int, Meta(ge=0)] = 0
    root: str = ""
    bad: dict[str, str] = field(default_factory=dict)
    approved: str = ""
    at: float = 0.0


class Deletions(Struct, frozen=True):
    """When a step deletes too much at once (threats 31): more than ``share`` of the files and more than ``count``."""

    share: float
    count: int

    def too_many(self, deleted: int, held: int) -> bool:
        """Whether somebody should look before ``deleted`` of ``held`` files go."""
        return deleted > self.count and deleted > self.share * held

    def most(self, held: int) -> int:
        """The most that may go of ``held`` files without a question."""
        return max(self.count, int(self.share * held))


def check_offer(known: Known, *, number: int, lineage: str, root: str) -> None:
    """:class:`HeldBackError` if a generation must not be taken (threats 30, 39)."""
    if lineage == known.lineage and number < known.number:
        raise HeldBackError(
            f"the master offers generation {number}, this node has taken {known.number}: an older state of it "
            "answers; if its home was restored from a backup, stop the master, remove .outrider/generations there, and "
            "start it again: that begins a new row of numbers"
        ).coded(Code.OLDER_GENERATION)
    if lineage == known.lineage and number == known.number and known.root and root != known.root:
        raise HeldBackError(
            f"the master offers another generation {number} than before; look at its .outrider folder"
        ).coded(Code.OTHER_GENERATION)
    if reason := known.bad.get(root):
        raise HeldBackError(
            f"generation {number} is quarantined on this node: {reason}; it waits for the next one"
        ).coded(Code.QUARANTINED)


def taken(known: Known, *, number: int, lineage: str, root: str, at: float) -> Known:
    """What is known once a generation stands, now that it is ``at``; what was bad in another lineage is forgotten."""
    bad = known.bad if lineage == known.lineage else {}
    return Known(lineage=lineage, number=number, root=root, bad=bad, at=known.at if root == known.root else at)


def approved(known: Known, root: str) -> Known:
    """The same where the step to ``root`` may delete what it wants."""
    return structs.replace(known, approved=root)


def quarantined(known: Known, root: str, reason: str, *, most: int = 16) -> Known:
    """The same with one more root that is not taken; the oldest of too many are forgotten."""
    bad = {**{old: why for old, why in known.bad.items() if old != root}, root: reason}
    kept = dict(list(bad.items())[-most:])
    return structs.replace(known, bad=kept)


class Repairs:
    """How often the same tree had to be repaired in a row: something here changes it back (threats 43)."""

    ALARM: Final = 3

    def __init__(self) -> None:
        self.in_a_row = 0
        self._root = ""

    def brought_to(self, root: str) -> None:
        """A step brought the tree to this root."""
        self.in_a_row = self.in_a_row + 1 if root == self._root else 0
        self._root = root

    def pause_s(self, longest: float) -> float:
        """Seconds before the next change made here counts: none at first, then longer and longer."""
        return 0.0 if not self.in_a_row else min(longest, 5 * 2.0 ** min(self.in_a_row, 64))
