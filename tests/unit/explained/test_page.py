"""docs/errors.md is what the table says."""

from __future__ import annotations

from pathlib import Path

from outrider.explained import EXPLANATIONS
from outrider.explained.page import page

PAGE = Path(__file__).parents[3] / "docs/errors.md"


def test_the_page_is_of_the_table() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: outrider explain --markdown > docs/errors.md"


def test_it_has_a_heading_for_each_code() -> None:
    headings = [line for line in page().splitlines() if line.startswith("### ")]
    assert [line.split()[1].rstrip(":") for line in headings] == list(EXPLANATIONS)
