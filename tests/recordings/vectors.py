"""The recordings of real peers, as values."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

VECTORS = Path(__file__).parents[1] / "vectors"
META: dict[str, Any] = json.loads((VECTORS / "session-1-meta.json").read_text())
KEY: str = META["key"]
TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CONTAINER_PATH = re.compile(r"queue/cluster/worker01/worker01-\d+\.\d+-[0-9a-f]{32}\.zip")
_FILE_SEP, _PATH_SEP = b"|@@//@@|", b"|//@@//|"
_EXCLUDED = re.compile(r"(^|/)(ar\.conf|ossec\.conf)$|(~|\.tmp|\.lock|\.swp)$")


class Exchange(NamedTuple):
    """A request of the session and its answer; ``by_worker`` says who asked."""

    by_worker: bool
    name: str
    payload: bytes
    reply_name: str
    reply: bytes


@cache
def session() -> list[Exchange]:
    """All exchanges of session-1, in the order of their requests."""
    rows = [json.loads(line) for line in (VECTORS / "session-1.jsonl").read_text().splitlines()]
    replies = {
        (row["dir"], row["counter"]): row for row in rows if row["command"].split(" ")[0] in {"ok", "err", "ok-m"}
    }
    exchanges = []
    for row in rows:
        opposite = "m>w" if row["dir"] == "w>m" else "w>m"
        reply = replies.get((opposite, row["counter"]))
        if row not in replies.values() and reply is not None:
            by_worker = row["dir"] == "w>m"
            payloads = bytes.fromhex(row["payload_hex"]), bytes.fromhex(reply["payload_hex"])
            exchanges.append(Exchange(by_worker, row["command"], payloads[0], reply["command"], payloads[1]))
    return exchanges


def container_meaning(container: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """A container's files and its metadata; times of files are nobody's business but the sender's."""
    members = {}
    for member in container.split(_FILE_SEP):
        path, stream = member.split(_PATH_SEP, 1)
        members[path.decode()] = zlib.decompress(stream)
    return members, _without_times(json.loads(members.pop("files_metadata.json")))


def pack(members: dict[str, bytes], metadata: dict[str, Any] | None) -> bytes:
    """A container as 4.9.2 writes it; without metadata it ends with a separator, which breaks it."""
    files = [path.encode() + _PATH_SEP + zlib.compress(data, 1) + _FILE_SEP for path, data in members.items()]
    if metadata is None:
        return b"".join(files)
    return b"".join(files) + b"files_metadata.json" + _PATH_SEP + zlib.compress(json.dumps(metadata).encode(), 1)


def unpack_tree(part: str, home: Path) -> None:
    """Make ``home``'s synced folders those of the archive's ``part`` (``initial`` or ``final``)."""
    for folder in ("etc", "var"):
        shutil.rmtree(home / folder, ignore_errors=True)
    with tarfile.open(VECTORS / "session-1-tree.tar") as archive:
        for member in archive.getmembers():
            if member.name.startswith(f"{part}/"):
                archive.extract(member.replace(name=member.name.removeprefix(f"{part}/")), home, filter="data")


def synced_files(home: Path) -> dict[str, bytes]:
    """Every file below ``home`` that the files table lets travel, with its content."""
    files = (path for folder in ("etc", "var") for path in (home / folder).rglob("*") if path.is_file())
    named = {path.relative_to(home).as_posix(): path.read_bytes() for path in files}
    return {name: data for name, data in named.items() if not _EXCLUDED.search(name) and ".outrider" not in name}


def _without_times(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_times(value) for key, value in node.items() if key != "mod_time"}
    return node
