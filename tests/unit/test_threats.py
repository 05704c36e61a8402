"""The table of docs/security.md beside the tests: fifty rows, and each is a test, in just the places that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT = "has no test"
PLACES: Final = {
    "core": ["rust"],
    "unit": ["tests/unit", "tests/property"],
    "recordings": ["tests/recordings"],
    "simulation": ["tests/simulation"],
    "system": ["tests/system"],
}


def lines() -> dict[tuple[int, ...], str]:
    """The numbers of each line of the table, and the line."""
    table = (ROOT / "docs/security.md").read_text("utf-8").partition("## The fifty rows")[2]
    found = re.findall(r"^\| ([\d, ]+) (\|.*)$", table, re.MULTILINE)
    return {tuple(int(number) for number in numbers.split(",")): line for numbers, line in found}


def carried(folder: str) -> Iterator[int]:
    """The rows that the name of a test below the folder carries."""
    for file in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.rs")]:
        for name in re.findall(r"(?:def|fn) (?:test_)?(threat_\d\w*)\(", file.read_text("utf-8")):
            yield from map(int, re.findall(r"(?<=_)\d\d(?=_)", name))


def test_the_table_has_every_row_once() -> None:
    assert sorted(number for numbers in lines() for number in numbers) == list(range(1, 51))


def test_every_row_is_a_test_or_says_that_it_has_none() -> None:
    tested = {number for folders in PLACES.values() for folder in folders for number in carried(folder)}
    for numbers, line in lines().items():
        assert (WITHOUT in line) == bool(set(numbers) - tested), numbers


@pytest.mark.parametrize("place", PLACES)
def test_each_line_names_the_places_where_its_tests_are(place: str) -> None:
    here = {number for folder in PLACES[place] for number in carried(folder)}
    named = {numbers for numbers, line in lines().items() if place in line.split("|")[-2].strip().split(", ")}
    assert named == {numbers for numbers in lines() if here & set(numbers)}
