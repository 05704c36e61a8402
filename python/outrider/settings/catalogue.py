"""Every settings key by its dotted name, read off the types of :mod:`outrider.settings.sections`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from msgspec import NODEFAULT, Meta, Struct, structs

from outrider.settings.key import ClusterKey
from outrider.settings.sections import (
    Agents,
    Ca,
    Generations,
    Grants,
    Http,
    Intervals,
    Limits,
    Link,
    Local,
    Log,
    Node,
    Section,
    Sendsync,
    Tree,
    Watch,
)

SECTIONS: dict[str, type[Section]] = {
    "node": Node,
    "link": Link,
    "ca": Ca,
    "intervals": Intervals,
    "tree": Tree,
    "watch": Watch,
    "generations": Generations,
    "agents": Agents,
    "local": Local,
    "sendsync": Sendsync,
    "grants": Grants,
    "http": Http,
    "limits": Limits,
    "log": Log,
}


class Key(Struct, frozen=True, kw_only=True):
    """One setting: how it is called, what it takes and what it is for."""

    name: str
    type: Any
    default: Any
    meaning: str
    example: Any

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.type.__origin__ in (ClusterKey | None, tuple[ClusterKey, ...])


def _keys(prefix: str, section: type[Section]) -> Iterator[Key]:
    for field in structs.fields(section):
        name = f"{prefix}.{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield from _keys(name, field.type)
            continue
        meta = next(note for note in field.type.__metadata__ if isinstance(note, Meta))
        default = field.default_factory() if field.default is NODEFAULT else field.default
        yield Key(
            name=name,
            type=field.type,
            default=default,
            meaning=meta.description or "",
            example=(meta.examples or [None])[0],
        )


CATALOGUE: dict[str, Key] = {key.name: key for prefix, section in SECTIONS.items() for key in _keys(prefix, section)}


def nearest(name: str) -> str | None:
    """The key that a person who wrote ``name`` most likely meant."""
    last = name.rpartition(".")[2]
    same_end = [known for known in CATALOGUE if known.rpartition(".")[2] == last]
    if len(same_end) == 1:
        return same_end[0]
    close = difflib.get_close_matches(name, same_end or CATALOGUE, n=1, cutoff=0.0 if same_end else 0.6)
    return close[0] if close else None
