"""How large a container may be: one adaptive limit for each worker (specification 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_FAST_SHARE = 0.8
"""A send that took less than this share of the receiver's time allows a larger one next."""


class SizeTerms(Protocol):
    """Between what the limit moves, in bytes, by what share of it, and how long the receiver waits, in seconds."""

    @property
    def max_zip_size(self) -> int:
        """The largest."""
        ...

    @property
    def min_zip_size(self) -> int:
        """The least."""
        ...

    @property
    def zip_limit_tolerance(self) -> float:
        """The step."""
        ...

    @property
    def timeout_receiving_file(self) -> float:
        """The receiver's patience."""
        ...


class SizeLimit:
    """Shrinks when the receiver ran out of time, grows again when a send was quick; ``terms`` are asked each time."""

    def __init__(self, terms: Callable[[], SizeTerms]) -> None:
        self._terms = terms
        self._shrunk: int | None = None

    @property
    def bytes(self) -> int:
        """The limit as it is."""
        most = self._terms().max_zip_size
        return most if self._shrunk is None else min(most, self._shrunk)

    def sent(self, size: int, seconds: float, *, cancelled: bool) -> None:
        """Learn from one send of ``size`` bytes."""
        terms = self._terms()
        keep = 1 - terms.zip_limit_tolerance
        if cancelled:
            self._shrunk = max(terms.min_zip_size, int(size * keep))
        elif self._shrunk is not None and seconds < terms.timeout_receiving_file * _FAST_SHARE:
            grown = int(self._shrunk / keep)
            self._shrunk = None if grown >= terms.max_zip_size else grown
