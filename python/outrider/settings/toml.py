"""TOML, read; and written, as a person can copy it into a settings file, and as ``outrider config import`` does."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import msgspec


def read_toml(text: str) -> dict[str, Any]:
    """A text as nested tables; :class:`tomllib.TOMLDecodeError`, a :class:`ValueError`, if it is none."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("it is nested too deep") from None


def toml(value: Any) -> str:
    """Plain data, without ``None``, as the right side of a line.

    A text is a basic string: JSON's rules for one are TOML's, but that TOML takes no DEL as it is.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_name(name)} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)
