"""Readers of what a peer sends, for which what is nested too deep is no worse than any other bytes that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def shallow(read: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """``read``, with a :class:`ValueError` for what Python's stack is too small for."""

    def reading(payload: bytes) -> T:
        try:
            return read(payload)
        except RecursionError:
            raise ValueError("it is nested too deep") from None

    return reading
