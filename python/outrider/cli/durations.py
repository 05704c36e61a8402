"""Times on the command line: ``90s``, ``30m``, ``1h``, ``7d``."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def duration(text: str) -> float:
    """Seconds of a text, above zero."""
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{text!r} is no time; e.g. 90s, 30m, 1h, 7d")
    return int(found[1]) * _UNITS[found[2]]
