"""What lies in a folder, as a value."""

from __future__ import annotations

from pathlib import Path

OWN = ".outrider"
"""What a node keeps for itself; no part of the tree."""


def files_below(home: Path, folder: str) -> dict[str, bytes]:
    """Every file below ``home``/``folder``: its path from ``home`` and its content."""
    return {
        str(file.relative_to(home)): file.read_bytes()
        for file in sorted((home / folder).rglob("*"))
        if file.is_file() and OWN not in file.parts
    }
