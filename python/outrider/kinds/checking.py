"""What a kind of a host or a package must be like to run beside ours and beside others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Final

from msgspec import Struct, structs

from outrider.kinds.builtin import BUILTIN
from outrider.kinds.interface import Kind
from outrider.kinds.options import INTERVAL
from outrider.protocol.commands import RESPONSES, TABLE, Command, To
from outrider.protocol.frame import NAME_BYTES
from outrider.settings.sections import DAY_S

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def checked(kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """``kinds``, if each of them can run beside ours and those before it; :class:`ValueError` says why not."""
    known: list[Kind] = []
    for kind in kinds:
        check(kind, known)
        known.append(kind)
    return tuple(known)


def check(kind: Kind, others: Iterable[Kind] = ()) -> None:
    """Raise a :class:`ValueError` that says why ``kind`` cannot run beside ours and ``others``; or nothing."""
    if fault := _fault_of_types(kind):
        raise ValueError(f"the kind {kind.name!s:.80} {fault}")
    if not _NAME.fullmatch(kind.name):
        raise ValueError(f"{kind.name[:80]!r} is no name for a kind: use 1 to 32 of a-z, 0-9 and _, a letter first")
    if kind.vital:
        raise ValueError(f"the kind {kind.name} calls itself vital: only Outrider's own are")
    if fault := _fault_of_settings(kind):
        raise ValueError(f"the kind {kind.name} {fault}")
    if kind.worker is None and kind.master is None:
        raise ValueError(f"the kind {kind.name} has no half in either role")
    for other in (*BUILTIN, *others):
        if other.name == kind.name:
            raise ValueError(f"the name {kind.name} is taken by another kind")
        if clash := {command.name for command in kind.commands} & {command.name for command in other.commands}:
            raise ValueError(f"the kind {kind.name} claims {min(clash).decode()}, a command of the kind {other.name}")
    for fault in _faults(kind.commands):
        raise ValueError(f"the kind {kind.name} {fault}")


def _fault_of_types(kind: Kind) -> str | None:
    """Whether its parts are what they are named for: nobody has checked a package's types."""
    parts: tuple[tuple[str, object, type, str], ...] = (
        ("name", kind.name, str, "text"),
        ("commands", kind.commands, tuple, "tuple"),
        ("interval_s", kind.interval_s, Real, "number"),
        ("feature", kind.feature, str, "text"),
        ("instead_of", kind.instead_of, str, "text"),
    )
    for name, value, wanted, word in parts:
        if not isinstance(value, wanted):
            return f"has {name} = {value!r:.80}: it is no {word}"
    for command in kind.commands:
        sound = isinstance(command, Command) and isinstance(command.name, bytes) and isinstance(command.to, To)
        if not sound:
            return f'has a command {command!r:.80}: use outrider.Command(b"name", outrider.To.MASTER, "what for")'
    halves: tuple[object, ...] = (kind.worker, kind.master)
    for half in halves:
        if half is not None and not callable(half):
            return f"has the half {half!r:.80}: it cannot be called"
    return None


def _fault_of_settings(kind: Kind) -> str | None:
    """A node starts whatever is installed: without a section of its own a kind has sound settings."""
    if not 0 <= kind.interval_s <= DAY_S:
        return f"has an interval of {kind.interval_s} s: use 0 to {DAY_S:.0f}"
    return None if kind.options is None else _fault_of_options(kind.options)


def _fault_of_options(options: object) -> str | None:
    if not (isinstance(options, type) and issubclass(options, Struct)):
        return "has options that are no msgspec.Struct"
    for field in structs.fields(options):
        if field.required:
            return f"has the option {field.encode_name} without a default"
        if field.encode_name == INTERVAL:
            return f"has an option named {INTERVAL}, which every kind has: set its interval_s"
    try:
        options()
    except Exception as error:  # noqa: BLE001  (a default that a package makes)
        return f"has options that cannot be made: {type(error).__name__}: {error}"
    return None


def _faults(commands: tuple[Command, ...]) -> Iterator[str]:
    seen: set[bytes] = set()
    for command in commands:
        name = command.name
        if not (0 < len(name) <= NAME_BYTES and name.isascii() and name.decode().isprintable() and b" " not in name):
            yield f"has a command {name[:80]!r}: use 1 to {NAME_BYTES} plain letters, without spaces"
        elif name in RESPONSES or name in TABLE:
            yield f"claims {name.decode()}, which the protocol keeps"
        elif name in seen:
            yield f"has the command {name.decode()} twice"
        elif command.to not in To.NODE or not command.to:
            yield f"has a command {name.decode()} to neither a worker nor a master"
        elif command.before_hello:
            yield f"wants {name.decode()} to be served before hello"
        seen.add(name)
