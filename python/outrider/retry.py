"""When something that failed is tried again, and whether a person hears of it. Errors and time in, a pause out.

It reads no clock, waits for nothing and writes no log: :mod:`outrider.trying` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Final, NamedTuple

from outrider.errors import Nature, OutriderError

ALARM_AFTER: Final = 5
"""Identical failures after which one alarm takes the place of a line for each."""
PERMANENT_S: Final = 300
"""Between two tries of what only a person mends."""
_CAUSES: Final = 16
"""Different causes of one streak that are told apart."""
_NUMBERS: Final = re.compile(r"\d+")
"""What two texts of one cause may differ in: ports, times, counts."""


class Tell(Enum):
    """What a person hears of one failure."""

    LINE = "a line"
    ALARM = "the alarm, once for each cause"
    NOTHING = "it is counted"


class _Policy(NamedTuple):
    """``slower`` times the first pause; an alarm after so many failures in so many seconds, then ``rest_s``."""

    slower: float
    alarm_after: int
    patience_s: float
    rest_s: tuple[float, float] | None


_POLICIES: Final = {
    # The next try is as soon as ever: a master that is back wants its workers, a disk with room its files.
    Nature.TEMPORARY: _Policy(1, ALARM_AFTER, 30, None),
    Nature.PEER: _Policy(4, ALARM_AFTER, 0, (60, 120)),
    Nature.PERMANENT: _Policy(1, 1, 0, (PERMANENT_S, PERMANENT_S)),
}


class Again(NamedTuple):
    """Seconds until the next try, and what is told."""

    pause_s: float
    tell: Tell


class Over(NamedTuple):
    """A streak that ended: its failures, and seconds since the first; ``alarmed``: whether a person was alarmed."""

    failures: int
    seconds: float
    alarmed: bool


class Streak:
    """The failures in a row of one thing.

    A pause is ``random(0, min(cap_s, base_s * 2^n))`` for the n-th failure, so that a thousand nodes do not come back
    at the same moment; the nature of the error and an alarm make it longer, never beyond what ``cap_s`` says, 120 s for
    a peer's fault or :data:`PERMANENT_S`.
    """

    def __init__(self, random: Random, *, base_s: float, cap_s: Callable[[], float]) -> None:
        self.failures = 0
        self.since = 0.0  # of the clock of whoever tells of failures
        self._random = random
        self._cap_s = cap_s
        self._base_s = base_s
        self._pauses = 0
        self._same: Counter[str] = Counter()
        self._alarmed: set[str] = set()

    def failed(self, error: Exception, now: float) -> Again:
        """One more failure, at ``now`` seconds of any steady clock."""
        self.since = self.since if self.failures else now
        self.failures += 1
        cause = _cause(error)
        if cause not in self._same and len(self._same) >= _CAUSES:
            self._same.clear()
            self._alarmed.clear()
        self._same[cause] += 1
        policy = _POLICIES[error.nature if isinstance(error, OutriderError) else Nature.TEMPORARY]
        tell = self._tell(cause, policy, now)
        return Again(self._pause(policy, rested=cause in self._alarmed), tell)

    def later(self) -> float:
        """Nothing failed, but it is not time yet: the peer has others to serve. Seconds until the next try."""
        return self._pause(_POLICIES[Nature.TEMPORARY], rested=False)

    def worked(self, now: float) -> Over | None:
        """It worked: short pauses again; what is over, if something was."""
        over = Over(self.failures, now - self.since, bool(self._alarmed)) if self.failures else None
        self.failures = self._pauses = 0
        self._same.clear()
        self._alarmed.clear()
        return over

    def _tell(self, cause: str, policy: _Policy, now: float) -> Tell:
        if cause in self._alarmed:
            return Tell.NOTHING
        if self._same[cause] < policy.alarm_after:
            return Tell.LINE
        if now - self.since < policy.patience_s:
            return Tell.NOTHING
        self._alarmed.add(cause)
        return Tell.ALARM

    def _pause(self, policy: _Policy, *, rested: bool) -> float:
        longest = min(self._cap_s(), policy.slower * self._base_s * 2.0 ** min(self._pauses, 64))
        self._pauses += 1
        if rested and policy.rest_s is not None:
            return self._random.uniform(*policy.rest_s)
        return self._random.uniform(0, longest)


def _cause(error: Exception) -> str:
    """What makes two errors the same; of what a person must mend each word counts, such as a generation's number."""
    exact = isinstance(error, OutriderError) and error.nature is Nature.PERMANENT
    return f"{type(error).__name__}: {error if exact else _NUMBERS.sub('#', str(error))}"
