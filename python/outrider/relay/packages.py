"""Calls that other packages bring: entry points of the group ``outrider.handlers``, each loaded by itself.

An entry point names a :class:`~outrider.relay.handlers.Handlers` of its package. A package that cannot be
imported, brings something else or wants a name that is taken is left out as a whole, with the reason; the
others load.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from msgspec import Struct

from outrider.relay.handlers import Handlers

GROUP: Final = "outrider.handlers"
OURS: Final = "outrider."
"""Names that begin so are ours."""


class Found(Struct, frozen=True, kw_only=True):
    """One entry point: where it stands, the calls that it brought, or why it was refused."""

    name: str
    package: str
    target: str
    calls: tuple[str, ...] = ()
    refused: str = ""


def load_packages(table: Handlers, points: Iterable[EntryPoint] | None = None) -> list[Found]:
    """Add to ``table`` what the installed packages bring, in the order of their names; what was found."""
    if points is None:
        points = entry_points(group=GROUP)
    return [_load(table, point) for point in sorted(points, key=lambda point: (point.name, point.value))]


def _load(table: Handlers, point: EntryPoint) -> Found:
    package = point.dist.name if point.dist is not None else ""
    found = Found(name=point.name, package=package, target=point.value)
    try:
        brought = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a package may fail in any way)
        return _refuse(found, f"it cannot be imported: {type(error).__name__}: {error}")
    if not isinstance(brought, Handlers):
        return _refuse(found, f"{point.value} is no outrider.relay.handlers.Handlers")
    if ours := [name for name in brought if name.startswith(OURS)]:
        return _refuse(found, f"the name {ours[0]} is kept for Outrider itself")
    try:
        table.add(*brought.values())
    except ValueError as error:
        return _refuse(found, str(error))
    return Found(name=point.name, package=package, target=point.value, calls=tuple(brought))


def _refuse(found: Found, why: str) -> Found:
    return Found(name=found.name, package=found.package, target=found.target, refused=why)
