"""``cluster.json`` -> intervals and the files table (specification 1.7 and 4.4), by our names, and what has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from outrider.settings.catalogue import CATALOGUE
from outrider.settings.files import FileRow

LARGEST: Final = 1 << 20
_EXCLUDED: Final = ("excluded_files", "excluded_extensions")
_ROW: Final = frozenset(FileRow.__struct_fields__) - {"folder", "names"} | {"files"}
_UNUSED: Final = {"intervals.worker.sync_agent_groups": "nothing of 4.9.2 uses it"}


class FromJson(NamedTuple):
    """Values by our dotted names, and lines for what has no equivalent, each with what it was called."""

    values: dict[str, Any]
    lost: list[tuple[str, str]]


def read_cluster_json(content: bytes) -> FromJson:
    """Read a file; :class:`ValueError` says what is wrong with it. The settings judge its values."""
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    try:
        data = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:  # msgspec's are ValueErrors
        raise ValueError(f"it is not JSON: {error}") from None
    out = FromJson({}, [])
    for name, value in _table(data, "the file").items():
        match name:
            case "intervals":
                _intervals(_table(value, name), out)
            case "files":
                _files(_table(value, name), out)
            case "distributed_api":
                _distributed_api(_table(value, name), out)
            case _ if name in _EXCLUDED:
                out.values[f"tree.{name}"] = value
            case _:
                out.lost.append((name, "unknown"))
    return out


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object, {{...}}")  # noqa: TRY004  (the file is wrong, not the program)
    return value


def _intervals(intervals: Mapping[str, Any], out: FromJson) -> None:
    for group, members in intervals.items():
        if group == "distributed_api":
            _distributed_api(_table(members, group), out)
            continue
        for name, value in _table(members, f"intervals.{group}").items():
            key = f"intervals.{group}.{name}"
            if key in CATALOGUE:
                out.values[key] = value
            else:
                out.lost.append((key, "unknown"))
            if key in _UNUSED:
                out.lost.append((key, f"it is kept, but {_UNUSED[key]}"))


def _files(files: Mapping[str, Any], out: FromJson) -> None:
    """The table; in the original the exclusions stand among its folders."""
    out.values.update({f"tree.{name}": files[name] for name in _EXCLUDED if name in files})
    if not files.keys() - set(_EXCLUDED):
        raise ValueError("files names no folder: nothing would be kept in step")
    folders = {name: row for name, row in files.items() if name not in _EXCLUDED}
    out.values["tree.files"] = [_row(folder, _table(row, f"files.{folder}"), out) for folder, row in folders.items()]


def _row(folder: str, row: Mapping[str, Any], out: FromJson) -> dict[str, Any]:
    out.lost.extend((f"files.{folder}.{name}", "unknown") for name in row if name not in _ROW)
    return {"folder": folder, **dict(_cells(row))}


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name in _ROW:
            yield "names" if name == "files" else name, value


def _distributed_api(members: Mapping[str, Any], out: FromJson) -> None:
    for name, value in members.items():
        if name != "enabled":
            out.lost.append((f"distributed_api.{name}", "unknown"))
        elif value is not True:
            out.lost.append(
                ("distributed_api.enabled", "requests are always passed on; [grants] says which calls may be asked for")
            )
