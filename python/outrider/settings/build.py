"""Given values -> checked sections, with all errors at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from outrider.codes import Code
from outrider.errors import Line
from outrider.settings.catalogue import CATALOGUE, SECTIONS, Key, nearest
from outrider.settings.files import as_rows
from outrider.settings.key import ClusterKey
from outrider.settings.sections import Section
from outrider.settings.sources import Given
from outrider.settings.toml import read_toml, toml

SHOWN = 200
"""So many characters of a wrong value are repeated."""

_FROM_THE_HOME = frozenset(
    {
        "agents.wazuh_db_socket",
        "local.socket",
        "sendsync.authd",
        "sendsync.remoted",
        "sendsync.task_manager",
        "sendsync.wazuh_db",
    }
)
"""Paths that start at node.home wherever they are given; whoever opens them joins the two."""


def example(key: Key) -> str:
    """How a line of the settings file could look."""
    return f"e.g. {key.name} = {'...' if key.secret else toml(key.example)}"


def read_values(given: Mapping[str, Given]) -> tuple[dict[str, Any], list[Line]]:
    """Each value as its key's type, and what is wrong with the others."""
    values: dict[str, Any] = {}
    errors: list[Line] = []
    for name, one in given.items():
        key = CATALOGUE.get(name)
        if key is None:
            errors.append(Line(_unknown(name, one), Code.UNKNOWN_KEY))
            continue
        try:
            values[name] = _read(key, one)
        except ValueError as error:  # msgspec's and tomllib's are ValueErrors too
            shown = "" if key.secret else f" = {_short(one.value)}"
            why = str(error).replace("`", "").replace(" - at $", ", at ")
            errors.append(Line(f"{name}{shown} ({one.origin}): {why}; {example(key)}", Code.VALUE_REFUSED))
    return values, errors


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _unknown(name: str, one: Given) -> str:
    if name in SECTIONS or any(known.startswith(f"{name}.") for known in CATALOGUE):
        return f"{name} ({one.origin}) is a section, not a value: write [{name}] and its keys below"
    meant = nearest(name)
    hint = f"; did you mean {meant}?" if meant else "; `outrider config show` lists all keys"
    return f"{name.strip() or repr(name)} ({one.origin}) is not a known key{hint}"


def _read(key: Key, one: Given) -> Any:
    value = _parse(key, one.value) if one.text else one.value
    if key.name == "tree.files":
        value = as_rows(value)
    check_texts(value)
    value = msgspec.convert(value, key.type, strict=not one.text, dec_hook=_hook)
    if isinstance(value, Path):
        value = _from_a_home(value)
        if key.name not in _FROM_THE_HOME:
            value = ((one.base or Path.cwd()) / value).absolute()
    return value


def _from_a_home(path: Path) -> Path:
    """The path, its ``~`` or ``~user`` replaced; :class:`ValueError` if this machine knows no such home."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"this machine knows no home folder for {path.parts[0]!r}; write the whole path") from None


def check_texts(value: Any) -> None:
    """:class:`ValueError` if a text within ``value`` is none that a file or a peer could hold."""
    if any(re.search("[\0\ud800-\udfff]", text) for text in _texts(value)):
        raise ValueError("it holds a NUL, or bytes that are not UTF-8")


def _texts(value: Any) -> Iterator[str]:
    """Every text within ``value``."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in (*value.keys(), *value.values()):
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _parse(key: Key, text: str) -> Any:
    """Read a list from text: as TOML if it starts with a bracket, else cut at its commas."""
    if not isinstance(key.default, tuple):
        return text
    if text.lstrip().startswith(("[", "{")):
        return read_toml(f"value = {text}")["value"]
    return [part.strip() for part in text.split(",") if part.strip()]


def _hook(wanted: type, value: Any) -> Any:
    if isinstance(value, wanted):
        return value
    if wanted in (ClusterKey, Path) and isinstance(value, str):
        if not value:
            raise ValueError("it is empty")
        return wanted(value)
    raise ValueError(f"expected text, got {type(value).__name__}")


@cache
def _fields(section: type[Section]) -> tuple[structs.FieldInfo, ...]:
    """To find them takes longer than to fill them."""
    return structs.fields(section)


def make_section(prefix: str, section: type[Section], values: Mapping[str, Any]) -> Section:
    """One section, its sections included, from checked values."""
    arguments: dict[str, Any] = {}
    for field in _fields(section):
        name = f"{prefix}.{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, Section):
            arguments[field.name] = make_section(name, field.type, values)
        elif name in values:
            arguments[field.name] = values[name]
    return section(**arguments)
