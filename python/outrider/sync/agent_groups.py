"""Whether a worker's groups are the master's, and when it asks for all of them (specification 5.8, threats 43)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import NamedTuple

from outrider.model import GroupAssignment

_MOST_PATIENCE = 64
"""However often a full synchronisation did not help, after so many times the usual mismatches it is tried again."""
_NAMED = 10


class Agreement(Enum):
    """What a comparison came to."""

    EQUAL = "in step"
    DIFFERENT = "different"
    ASK = "different too often: everything is asked for"


class Mismatches:
    """Counts messages after which the checksums differ; as many in a row as ``limit`` says ask for everything.

    An answer that did not help doubles how many it takes the next time: what a full synchronisation
    does not cure, no number of them will.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._count = 0
        self._asked = 0

    def compare(self, theirs: str | None, ours: str | None) -> Agreement:
        """Two hashes, or two times none, after a periodic message."""
        if theirs == ours:
            self.healed()
            return Agreement.EQUAL
        return self.different()

    def different(self) -> Agreement:
        """They differ, or ours cannot be had."""
        self._count += 1
        if self._count < self.needed:
            return Agreement.DIFFERENT
        self._count = 0
        self._asked += 1
        return Agreement.ASK

    def healed(self) -> None:
        """They are equal: everything starts anew."""
        self._count = self._asked = 0

    def unasked(self) -> None:
        """The question did not get through, so that it cannot have helped."""
        self._asked = max(0, self._asked - 1)

    @property
    def needed(self) -> int:
        """How many in a row it takes now."""
        return self._limit() * int(min(2 ** min(self._asked, 32), _MOST_PATIENCE))

    @property
    def in_vain(self) -> int:
        """How often everything was asked for since the checksums were last equal."""
        return self._asked


class OnlyHere(NamedTuple):
    """Agents with groups that the master does not have: how many, and the first of them."""

    agents: int
    first: tuple[int, ...]

    def __str__(self) -> str:
        """For a log line."""
        more = ", ..." if self.agents > len(self.first) else ""
        return f"{self.agents} ({', '.join(map(str, self.first))}{more})"


def only_here(ours: Iterable[GroupAssignment], theirs: Collection[int], so_far: OnlyHere | None = None) -> OnlyHere:
    """Which of our agents keep the checksums apart since the master does not know them; added to ``so_far``."""
    agents, first = so_far or OnlyHere(0, ())
    alone = [assignment.id for assignment in ours if assignment.groups and assignment.id not in theirs]
    return OnlyHere(agents + len(alone), (*first, *alone)[:_NAMED])
