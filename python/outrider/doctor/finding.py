"""What a check found: good, a warning, or bad; and what to do."""

from __future__ import annotations

from typing import Literal, Self

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One line of the doctor's: the check, how it stands, what was seen, and the remedy unless it is good."""

    check: str
    state: Literal["good", "warning", "bad"]
    what: str
    remedy: str = ""

    @classmethod
    def good(cls, check: str, what: str) -> Self:
        """All is well here."""
        return cls(check, "good", what)

    @classmethod
    def warning(cls, check: str, what: str, remedy: str) -> Self:
        """It works, and may soon not, or not as meant."""
        return cls(check, "warning", what, remedy)

    @classmethod
    def bad(cls, check: str, what: str, remedy: str) -> Self:
        """The node cannot do its work as long as this is so."""
        return cls(check, "bad", what, remedy)
