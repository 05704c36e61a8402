"""Text for a line of a log or a terminal: that of others, made safe, and numbers of things."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` with everything escaped that a terminal would obey or a reader not see, line ends first of all."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def words_of(error: BaseException) -> str:
    """What an exception of somebody else's says, made safe, or its type: its own words may be none, or raise."""
    try:
        return printable(str(error)) or type(error).__name__
    except Exception:  # noqa: BLE001  (see above)
        return type(error).__name__


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
