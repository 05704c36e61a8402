"""Values as TOML: what a person can copy into a settings file, and what ``outrider config import`` writes into one."""

from __future__ import annotations

import re
from typing import Any

import msgspec


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
