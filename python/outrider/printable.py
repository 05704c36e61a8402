"""Text of others, made safe for a line of a log or a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` with everything escaped that a terminal would obey or a reader not see, line ends first of all."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
