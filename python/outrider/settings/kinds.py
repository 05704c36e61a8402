"""The sections ``[kinds.NAME]``: what a person sets for a kind of synchronisation of a package or a host.

Which kinds there are is not known here, so that nothing is judged: values stay plain data until the kind reads them
(:func:`outrider.kinds.options.options_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from outrider.codes import Code
from outrider.errors import Line
from outrider.settings.build import check_texts
from outrider.settings.sources import KINDS, Given
from outrider.settings.toml import read_toml

_PARTS: Final = 3
"""``kinds``, the name of the kind, the key."""

Options = Mapping[str, Mapping[str, Any]]


def read_kinds(given: Mapping[str, Given]) -> tuple[dict[str, dict[str, Any]], list[Line]]:
    """The values of each kind by its name, and what is wrong with the others; all of ``given`` is of ``kinds``."""
    kinds: dict[str, dict[str, Any]] = {}
    errors: list[Line] = []
    for name, one in given.items():
        parts = name.split(".", _PARTS - 1)
        if len(parts) < _PARTS or not all(parts):
            errors.append(
                Line(
                    f"{name} ({one.origin}) is a section, not a value: write [{KINDS}.NAME] and its keys below",
                    Code.UNKNOWN_KEY,
                )
            )
            continue
        try:
            value = _parse(one)
            check_texts(value)
        except ValueError as error:  # tomllib's is one too
            errors.append(Line(f"{name} ({one.origin}): {error}; e.g. {name} = 60", Code.KIND_OPTION))
            continue
        kinds.setdefault(parts[1], {})[parts[2]] = value
    return kinds, errors


def _parse(one: Given) -> Any:
    """A variable or a flag holds a list or a table as TOML; any other text stays one until its kind reads it."""
    if one.text and one.value.lstrip().startswith(("[", "{")):
        return read_toml(f"value = {one.value}")["value"]
    return one.value
