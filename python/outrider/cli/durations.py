"""Times on the command line: ``90s``, ``30m``, ``1h``, ``7d``; and plain numbers of seconds or days."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def duration(text: str) -> float:
    """Seconds of a text, above zero."""
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{text!r} is no time; e.g. 90s, 30m, 1h, 7d")
    return int(found[1]) * _UNITS[found[2]]


class Span(click.FloatRange):
    """A number of a range: neither what is none (``nan``) nor what has no end (``inf``)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; :class:`click.BadParameter` if it is none."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number of seconds or days", param, ctx)
        return number
