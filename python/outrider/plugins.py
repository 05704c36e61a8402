"""What installed packages bring, by entry points: calls, kinds of synchronisation, stores of agents.

A package is taken as a whole or not at all. One that cannot be imported, brings something else, or wants a name or a
command that is taken is refused with the reason; the others load (threat 49).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions
from itertools import groupby
from typing import Final

from msgspec import Struct, structs

from outrider.kinds.checking import check
from outrider.kinds.interface import Kind
from outrider.kinds.options import check_options
from outrider.logs import TaskLogger
from outrider.printable import words_of
from outrider.relay.builtin import builtin
from outrider.relay.handlers import Handlers
from outrider.settings import Settings
from outrider.store.choice import OWN_STORES, StoreFactory, check_store

HANDLERS: Final = "outrider.handlers"
KINDS: Final = "outrider.kinds"
STORES: Final = "outrider.stores"
GROUPS: Final = (HANDLERS, KINDS, STORES)
OURS: Final = "outrider."
"""Names of calls that begin so are ours."""
_STORE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Found(Struct, frozen=True, kw_only=True):
    """One entry point: where it stands, the names that it brought, or why it was refused."""

    package: str
    version: str = ""
    group: str = ""
    name: str = ""
    target: str = ""
    brings: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """All that a node has beyond its own: ``calls`` hold ours as well, ``kinds`` those of the host first."""

    calls: Handlers
    kinds: tuple[Kind, ...]
    stores: Mapping[str, StoreFactory]
    found: tuple[Found, ...]

    def check(self, settings: Settings) -> None:
        """Raise a :class:`SettingsError` if the settings mean a kind, an option or a store that is not there."""
        check_options(self.kinds, settings)
        check_store(settings, self.stores)

    def tell(self, log: TaskLogger) -> None:
        """Name in the log what was refused."""
        for one in self.found:
            if one.refused:
                what = f"{one.name} of the package {one.package} ({one.target})" if one.name else one.package
                log.error("%s is left out: %s", what, one.refused)


def load_plugins(own: Iterable[Kind] = (), points: Iterable[EntryPoint] | None = None) -> Plugins:
    """What the installed packages bring, in the order of their names, beside the kinds of the host."""
    taken = _Taken(builtin(), list(own))
    found: list[Found] = []
    if points is None:
        points, found = _installed()
    for _, its in groupby(sorted(points, key=_order), key=_package):
        draft = taken.copy()
        outcome = [draft.take(point) for point in its]
        if any(one.refused for one in outcome):
            outcome = [_with_its_package(one) for one in outcome]
        else:
            taken = draft
        found += outcome
    return Plugins(calls=taken.calls, kinds=tuple(taken.kinds), stores=taken.stores, found=tuple(found))


def _installed() -> tuple[list[EntryPoint], list[Found]]:
    """The entry points of every distribution, of two with one name those of the first; and who has unreadable ones."""
    points: dict[str, list[EntryPoint]] = {}
    unread: list[Found] = []
    for distribution in distributions():
        try:
            its = [point for point in distribution.entry_points if point.group in GROUPS]
        except Exception as error:  # noqa: BLE001  (whatever lies in its file)
            reason = f"its entry points cannot be read: {type(error).__name__}: {error}"
            unread.append(Found(package=_name_of(distribution), refused=reason))
            continue
        if its:
            name = re.sub(r"[-_.]+", "-", _name_of(distribution)).lower()
            points.setdefault(name, its)
    return [point for its in points.values() for point in its], unread


def _name_of(distribution: Distribution | None) -> str:
    """The name of a distribution; empty for none, and for one whose metadata has none."""
    return _told(distribution, "name")


def _told(distribution: Distribution | None, what: str) -> str:
    """What its metadata says of it; one without raises, and not the same with every reader that a host may bring."""
    try:
        return getattr(distribution, what, "") or ""
    except Exception:  # noqa: BLE001  (whatever lies in its file)
        return ""


def _package(point: EntryPoint) -> tuple[str, str]:
    """What is taken as a whole: a distribution, or an entry point that belongs to none."""
    name = _name_of(point.dist)
    return (name, "") if name else ("", f"{point.name} {point.value}")


def _order(point: EntryPoint) -> tuple[tuple[str, str], str, str]:
    return _package(point), point.group, point.name


def _with_its_package(one: Found) -> Found:
    reason = one.refused or "another part of its package was refused"
    return structs.replace(one, brings=(), refused=reason)


@dataclass
class _Taken:
    """Who has which names so far."""

    calls: Handlers
    kinds: list[Kind]
    stores: dict[str, StoreFactory] = field(default_factory=dict)

    def copy(self) -> _Taken:
        """The same, for a package of which nobody knows yet whether it is taken."""
        calls = Handlers()
        calls.add(*self.calls.values())
        return _Taken(calls, list(self.kinds), dict(self.stores))

    def take(self, point: EntryPoint) -> Found:
        """Take what an entry point brings, or say why not."""
        version = _told(point.dist, "version")
        brings: tuple[str, ...] = ()
        refused = ""
        try:
            brings = self._add(point)
        except ValueError as error:
            refused = str(error)
        except Exception as error:  # noqa: BLE001  (a package may bring what raises when it is looked at)
            refused = f"what it brings cannot be taken: {_words(error)}"
        return Found(
            package=_name_of(point.dist),
            version=version,
            group=point.group,
            name=point.name,
            target=point.value,
            brings=brings,
            refused=refused,
        )

    def _add(self, point: EntryPoint) -> tuple[str, ...]:
        add: Mapping[str, Callable[[EntryPoint, object], tuple[str, ...]]] = {
            HANDLERS: self._add_calls,
            KINDS: self._add_kind,
            STORES: self._add_store,
        }
        return add[point.group](point, _imported(point))

    def _add_calls(self, point: EntryPoint, brought: object) -> tuple[str, ...]:
        if not isinstance(brought, Handlers):
            raise ValueError(f"{point.value} is no outrider.Handlers")  # noqa: TRY004  (a reason, told as any other)
        if ours := [name for name in brought if name.startswith(OURS)]:
            raise ValueError(f"the name {ours[0]} is kept for Outrider itself")
        self.calls.add(*brought.values())
        return tuple(brought)

    def _add_kind(self, point: EntryPoint, brought: object) -> tuple[str, ...]:
        if not isinstance(brought, Kind):
            raise ValueError(f"{point.value} is no outrider.Kind")  # noqa: TRY004  (as above)
        check(brought, self.kinds)
        self.kinds.append(brought)
        return (brought.name, *map(str, brought.commands))

    def _add_store(self, point: EntryPoint, brought: object) -> tuple[str, ...]:
        if not callable(brought):
            raise ValueError(f"{point.value} cannot be called, and so makes no store")  # noqa: TRY004  (as above)
        if not _STORE_NAME.fullmatch(point.name):
            raise ValueError(f"{point.name!r} is no name for a store: use 1 to 32 of a-z, 0-9, _ and -")
        if point.name in OWN_STORES or point.name in self.stores:
            raise ValueError(f"the store {point.name} is there already")
        self.stores[point.name] = brought
        return (point.name,)


def _imported(point: EntryPoint) -> object:
    try:
        return point.load()
    except KeyboardInterrupt:  # of whoever sits at the terminal
        raise
    except BaseException as error:
        raise ValueError(f"it cannot be imported: {_words(error)}") from error


def _words(error: BaseException) -> str:
    name, words = type(error).__name__, words_of(error)
    return name if words == name else f"{name}: {words}"
