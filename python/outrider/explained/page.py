"""All explanations as one page of Markdown, ``docs/errors.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from outrider.explained import FAMILIES
from outrider.explained.entry import Explanation

_HEAD: Final = """\
# What errors mean

Every error that a person sees ends with a code: `outrider: there is no settings file x.toml: ... [OUT-1002]`. The
same stands in the log, in `outrider status`, and as `code` in JSON and on the records of the log; `outrider explain`
says what this page says. A code never changes its meaning and is never used for another. Numbers without `OUT` are
those that nodes tell one another; old nodes know them too.

<!-- Written by `outrider explain --markdown`, of the table in python/outrider/explained/. -->
"""


def page() -> str:
    """The page, with a line end at its end."""
    return "\n".join([_HEAD, *(line for title, family in FAMILIES.items() for line in _family(title, family))])


def _family(title: str, family: tuple[Explanation, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    for one in family:
        yield f"### {one.code}: {_plain(one.title)}\n"
        yield f"- **Cause:** {_plain(one.cause)}"
        yield f"- **Meanwhile:** {_plain(one.meanwhile)}"
        yield f"- **Remedy:** {_plain(one.remedy)}"
        yield f"- **Seen as:** `{one.example}`\n"


def _plain(text: str) -> str:
    """Angle brackets of a text are no markup; within backticks they are left as they are."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
