"""What the pages name is there: files of the repository in backticks, and pages that they link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("benches/*.md")])
NAMED = re.compile(r"`((?:tests|rust|python|benches|examples|docs)/[\w/.-]+)`")
LINKED = re.compile(r"\]\(([^)#:]+?)(?:#[\w-]+)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_file_and_page_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = [REPO / path for path in NAMED.findall(text)] + [page.parent / path for path in LINKED.findall(text)]
    assert [path for path in named if not path.exists()] == []
