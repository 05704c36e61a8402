"""The table of docs/security.md beside the tests: fifty rows, and each is a test or says that it has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT = "has no test"


def rows() -> Iterator[tuple[int, str]]:
    """Each number of the table with its line."""
    table = (ROOT / "docs/security.md").read_text("utf-8").partition("## The fifty rows")[2]
    for numbers, line in re.findall(r"^\| ([\d, ]+) (\|.*)$", table, re.MULTILINE):
        for number in numbers.split(","):
            yield int(number), line


def carried() -> set[int]:
    """The rows that the name of a test carries."""
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "rust").rglob("*.rs")]
    names = (re.findall(r"(?:def|fn) (?:test_)?(threat_\d[\w]*)\(", file.read_text("utf-8")) for file in files)
    return {int(number) for found in names for name in found for number in re.findall(r"(?<=_)\d\d(?=_)", name)}


def test_every_row_is_a_test_or_says_that_it_has_none() -> None:
    told = dict(rows())
    assert sorted(told) == list(range(1, 51))
    assert len(list(rows())) == 50
    missing = set(told) - carried()
    assert missing == {number for number, line in told.items() if WITHOUT in line}
