"""What each code of an error means: the one table behind ``outrider explain`` and ``docs/errors.md``.

Imported by commands alone: a node that runs has no use for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outrider.explained.entry import Explanation
from outrider.explained.files import GENERATIONS, STORE, TREE
from outrider.explained.link import IDENTITY, LINK, PEER
from outrider.explained.settings import KEY, SETTINGS
from outrider.explained.wire import WIRE
from outrider.explained.work import AGENTS, COMMANDS

FAMILIES: Final[Mapping[str, tuple[Explanation, ...]]] = {
    "Settings": SETTINGS,
    "The cluster key": KEY,
    "The link": LINK,
    "The other end": PEER,
    "Identity": IDENTITY,
    "The tree": TREE,
    "Generations": GENERATIONS,
    "Disk and databases": STORE,
    "Agents and groups": AGENTS,
    "Commands": COMMANDS,
    "Told between nodes": WIRE,
}
"""Every code, in the order in which a person reads them."""

EXPLANATIONS: Final[Mapping[str, Explanation]] = {one.code: one for family in FAMILIES.values() for one in family}

_DIGITS: Final = 4


def explanation(code: str) -> Explanation | None:
    """What is said of ``code``, however a person writes it: ``out-1203``, ``OUT1203``, ``[OUT-1203]``, ``3022``.

    A number that is none of the cluster's is one of the API behind the other node.
    """
    word = code.strip("[] ").upper().removeprefix("OUT").removeprefix("-")
    if not (word.isascii() and word.isdigit() and len(word) == _DIGITS):
        return None
    if "OUT" in code.upper():
        return EXPLANATIONS.get(f"OUT-{word}")
    return EXPLANATIONS.get(word) or EXPLANATIONS.get(f"OUT-{word}") or EXPLANATIONS["OUT-1310"]


__all__ = ["EXPLANATIONS", "FAMILIES", "Explanation", "explanation"]
