"""The files table (specification 4.4) as settings hold it: which folders are kept in step, and how."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

# What the node itself writes below its home: a tree that synchronised these would feed on itself.
OWN_FOLDERS = (".outrider/", "queue/cluster/")


class FileRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One folder of the table. ``names`` are base names; ``None`` means every file."""

    folder: str
    names: tuple[str, ...] | None = None
    permissions: Annotated[int, Meta(ge=0, le=0o777)] = 0o660
    recursive: bool = True
    remove_subdirs_if_empty: bool = False
    extra_valid: bool = False
    # Kept for people and other tools; as in the original, nothing here acts on them.
    source: str = "master"
    restart: bool = False
    description: str = ""


DEFAULT_FILES = (
    FileRow(
        folder="etc/",
        names=("client.keys",),
        permissions=0o640,
        recursive=False,
        description="client keys file database",
    ),
    FileRow(folder="etc/shared/", remove_subdirs_if_empty=True, description="shared configuration files"),
    FileRow(
        folder="var/multigroups/",
        names=("merged.mg",),
        remove_subdirs_if_empty=True,
        description="shared configuration files",
    ),
    FileRow(folder="etc/rules/", restart=True, description="user rules"),
    FileRow(folder="etc/decoders/", restart=True, description="user decoders"),
    FileRow(folder="etc/lists/", restart=True, description="user CDB lists"),
)
DEFAULT_EXCLUDED_FILES = ("ar.conf", "ossec.conf")
DEFAULT_EXCLUDED_EXTENSIONS = ("~", ".tmp", ".lock", ".swp")


def as_rows(value: Any) -> Any:
    """Accept the table as a list of rows or, as ``cluster.json`` writes it, as folder -> row."""
    if isinstance(value, dict):
        value = [{"folder": folder, **row} if isinstance(row, dict) else row for folder, row in value.items()]
    if not isinstance(value, list | tuple):
        return value
    return [_plain(row) if isinstance(row, dict) else row for row in value]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Read the two spellings of ``cluster.json``: permissions as text, ``all`` for every name."""
    row = dict(row)
    permissions = row.get("permissions")
    if isinstance(permissions, str):
        with contextlib.suppress(ValueError):  # the type check names what is no number
            row["permissions"] = int(permissions.lower().removeprefix("0o"), 8)
    if row.get("names") in ("all", ["all"], ("all",)):
        row["names"] = None
    return row


def faults(rows: Sequence[FileRow]) -> list[str]:
    """What is wrong with the rows, each text with the folder it concerns."""
    found = [
        f"folder {row.folder!r} {why}" for row in rows for why in (folder_fault(row.folder), _row_fault(row)) if why
    ]
    folders = [row.folder for row in rows]
    found += [f"folder {folder!r} stands there twice" for folder in sorted(set(folders)) if folders.count(folder) > 1]
    return found


def folder_fault(folder: str) -> str | None:
    """Why ``folder`` cannot be a key of the table, or ``None``."""
    components = folder.removesuffix("/").split("/")
    checks = (
        (folder.startswith("/"), "is absolute: write it relative to the home"),
        (not folder.endswith("/"), "does not end with a slash"),
        (any(c in {"", ".", ".."} for c in components), "holds an empty, '.' or '..' component"),
        (any(c in folder for c in "\0\\|"), "holds a NUL, a backslash or a bar"),
        (folder[1:2] == ":" and folder[:1].isalpha(), "starts with a drive letter"),
        (len(folder.encode(errors="replace")) > 2048, "is longer than 2,048 bytes"),  # noqa: PLR2004
        (".outrider" in components, "lies in .outrider, which holds the node's own state"),
        (any(_overlap(folder, own) for own in OWN_FOLDERS), "overlaps with queue/cluster/, which holds transfers"),
    )
    return next((why for broken, why in checks if broken), None)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _row_fault(row: FileRow) -> str | None:
    if row.names is not None and (not row.names or any(not name or "/" in name for name in row.names)):
        return f'has names {list(row.names)}: name base names without a slash, or write names = ["all"]'
    if not row.permissions & 0o400:
        return f"has permissions {row.permissions:#o}: the owner must be able to read, or the next scan cannot"
    return None
