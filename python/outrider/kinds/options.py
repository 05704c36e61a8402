"""What the settings say of a kind, ``[kinds.NAME]``, as the values that its halves get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from outrider.codes import Code
from outrider.errors import Line, SettingsError
from outrider.kinds.builtin import BUILTIN
from outrider.kinds.interface import Kind
from outrider.settings import Settings
from outrider.settings.sections import DAY_S

INTERVAL: Final = "interval"
_SHOWN: Final = 200

_Seconds = Annotated[float, Meta(gt=0, le=DAY_S)]


def options_of(kind: Kind, settings: Settings) -> tuple[float, Any]:
    """The interval of ``kind`` in seconds, and its options; :class:`SettingsError` names the key that is wrong."""
    given = dict(settings.kinds.get(kind.name, {}))
    interval_s = kind.interval_s
    if INTERVAL in given:
        if not interval_s:
            raise SettingsError(
                f"kinds.{kind.name}.{INTERVAL}: nothing of this kind happens at an interval of its own"
            ).coded(Code.KIND_OPTION)
        interval_s = _convert(kind, {INTERVAL: given.pop(INTERVAL)}, dict[str, _Seconds])[INTERVAL]
    if kind.options is None:
        if given:
            raise SettingsError(f"kinds.{kind.name}.{min(given)}: this kind has no such option").coded(Code.KIND_OPTION)
        return interval_s, None
    known = [field.encode_name for field in msgspec.structs.fields(kind.options)]
    if unknown := sorted(given.keys() - set(known)):
        raise SettingsError(
            f"kinds.{kind.name}.{unknown[0]}: this kind has no such option; it has {', '.join(known)}"
        ).coded(Code.KIND_OPTION)
    return interval_s, _convert(kind, given, kind.options)


def check_options(kinds: Iterable[Kind], settings: Settings) -> None:
    """Raise a :class:`SettingsError` with a line for everything in ``[kinds]`` that none of ``kinds`` can use."""
    named = {kind.name: kind for kind in (*BUILTIN, *kinds)}
    errors: list[Line] = []
    for name in settings.kinds:
        if name not in named:
            there = f"there are {', '.join(sorted(named))}; `outrider plugins list` says why one is missing"
            text = f"kinds.{name[:_SHOWN]}: no kind of synchronisation has this name; {there}"
            errors.append(Line(text, Code.KIND_OPTION))
    for kind in named.values():
        try:
            options_of(kind, settings)
        except SettingsError as error:
            errors += error.lines
    if errors:
        raise SettingsError(*errors)


def _convert(kind: Kind, given: Mapping[str, Any], wanted: Any) -> Any:
    try:
        # A variable of the environment or a flag brings text: "60" is a number where one is wanted.
        return msgspec.convert(given, wanted, strict=False)
    except Exception as error:  # msgspec's are ValueErrors; a package's own types may raise anything
        why, _, where = str(error).replace("`", "").partition(" - at $")
        key = where.strip(".") or (INTERVAL if INTERVAL in given else "")
        key = INTERVAL if key == "[...]" else key
        raise SettingsError(f"kinds.{kind.name}.{key} = {given.get(key)!r:.{_SHOWN}}: {why}").coded(
            Code.KIND_OPTION
        ) from error
