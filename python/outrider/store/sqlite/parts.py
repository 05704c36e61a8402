"""Answers of the store come in parts of bounded size, whatever the database holds."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Cursor
from typing import NamedTuple, TypeVar

Row = TypeVar("Row")


class Limits(NamedTuple):
    """A part ends with the row that reaches either; so there is always one row at least, however large it is."""

    rows: int = 4000
    bytes: int = 1 << 20


def bounded(cursor: Cursor, limits: Limits, size: Callable[[Row], int]) -> tuple[list[Row], bool]:
    """The first rows of ``cursor``, and whether there are more."""
    rows: list[Row] = []
    left = limits.bytes
    for row in cursor:
        if len(rows) == limits.rows or left <= 0:
            cursor.close()
            return rows, True
        rows.append(row)
        left -= size(row)
    return rows, False
