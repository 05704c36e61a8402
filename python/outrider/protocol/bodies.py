"""Typed bodies and their codecs (specification 2, 3, 5).

What a peer sends stays bytes until a function here has made it a type. The errors are plain
:class:`ValueError` and its kin, whose text goes back to the peer as the ``extra_message`` of a 1000,
worded as the original words them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from outrider.errors import Refusal
from outrider.protocol import faults
from outrider.protocol.faults import Fault, encode_fault, parse_fault

NO_TASK: Final = b"None"
_NODE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
_RESERVED_NAMES = frozenset({"master", ".", ".."})
_LONGEST_PATH = 1024
_UUID_FIXED: Final = 0xF000_C000_0000_0000_0000
_UUID_VERSION_4: Final = 0x4000_8000_0000_0000_0000
"""The bits of a UUID that say which sort it is, and what they say (RFC 9562)."""
_FILE_NAME = re.compile(rb"[A-Za-z0-9_.\-+@=]{1,200}")


class Hello(NamedTuple):
    """What a worker says first (5.1)."""

    node: str
    cluster: str
    type: str
    version: str

    def encode(self) -> bytes:
        """Four words with a space between."""
        return " ".join(self).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Hello:
        """Read four words; :class:`ValueError` for another number of them or for bytes that are not UTF-8."""
        node, cluster, kind, version = payload.decode().split(" ")
        return cls(node, cluster, kind, version)


def check_node_name(name: str) -> None:
    """Refuse a node name before any path is built from it (threats 16).

    Letters, digits, ``_``, ``.`` and ``-`` in ASCII, at most 128; not ``master``, which the API queues
    use as a word. :class:`Refusal` otherwise.
    """
    if name in _RESERVED_NAMES or not _NODE_NAME.fullmatch(name):
        raise Refusal(faults.INTERNAL, f"the node name {name[:64]!r} is refused: use letters, digits, '_', '.', '-'")


class TransferPath(NamedTuple):
    """The one place where a transferred file may lie: ``queue/cluster/<worker>/<name>`` (3.2)."""

    worker: str
    name: str

    @classmethod
    def decode(cls, payload: bytes, worker: str) -> TransferPath:
        """Read a path with or without its leading slash; :class:`Refusal` unless it lies in ``worker``'s folder."""
        folder, _, name = payload.removeprefix(b"/").rpartition(b"/")
        ours = bool(worker) and folder == f"queue/cluster/{worker}".encode()
        if not ours or not _FILE_NAME.fullmatch(name) or name.startswith(b"."):
            shown = payload[:200].decode(errors="replace")
            raise Refusal(faults.INTERNAL, f"the path {shown!r} is refused: files go to queue/cluster/{worker}/")
        return cls(worker, name.decode())

    def __str__(self) -> str:
        """The path below the home, without a leading slash, as the ``_e`` commands want it."""
        return f"queue/cluster/{self.worker}/{self.name}"

    @property
    def rooted(self) -> bytes:
        """The path with a leading slash, as ``new_file`` and its kin want it."""
        return f"/{self}".encode()


class SharedPath(NamedTuple):
    """Where a file lies that a program had sent to another node: the same path below both homes (3.2)."""

    folders: tuple[str, ...]
    name: str

    @classmethod
    def decode(cls, payload: bytes, shared: str) -> SharedPath:
        """Read a path below the home; :class:`Refusal` unless it lies in the folder ``shared`` (``tmp/``)."""
        path = payload.removeprefix(b"/")
        *folders, name = path.split(b"/")
        plain = all(_FILE_NAME.fullmatch(part) and not part.startswith(b".") for part in (*folders, name))
        if not plain or not path.startswith(shared.encode()) or len(path) > _LONGEST_PATH:
            shown = payload[:200].decode(errors="replace")
            why = f"files that programs send lie in {shared}, under names of letters, digits and . _ - + @ ="
            raise Refusal(faults.INTERNAL, f"the path {shown!r} is refused: {why}")
        return cls(tuple(folder.decode() for folder in folders), name.decode())

    def __str__(self) -> str:
        """The path below the home, without a leading slash."""
        return "/".join((*self.folders, self.name))

    @property
    def rooted(self) -> bytes:
        """The path with a leading slash, as ``new_file`` and its kin want it."""
        return f"/{self}".encode()


def container_path(worker: str, wall: float, unique: int) -> TransferPath:
    """A fresh name for a container: worker's name, time, 32 hex digits (3.2)."""
    return TransferPath(worker, f"{worker}-{wall:.6f}-{unique:032x}.zip")


def task_id(unique: int) -> bytes:
    """A task id from 128 random bits: the text of a UUID4 (3.1)."""
    digits = b"%032x" % (unique & ~_UUID_FIXED | _UUID_VERSION_4)
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def split_once(payload: bytes) -> tuple[bytes, bytes]:
    """Cut at the first space; the rest may hold any bytes. :class:`ValueError` without one."""
    first, rest = payload.split(b" ", 1)
    return first, rest


def split_view(payload: bytes) -> tuple[bytes, memoryview]:
    """The same without a copy of the rest, which may be a part of a file."""
    cut = payload.find(b" ")
    if cut < 0:
        raise ValueError("not enough values to unpack (expected 2, got 1)")  # the original's words
    return payload[:cut], memoryview(payload)[cut + 1 :]


class TaskFault(NamedTuple):
    """A ``_r`` or ``cancel_task`` body: the task (``None`` for none) and why it failed."""

    task: bytes | None
    fault: Fault

    def encode(self) -> bytes:
        """Task id or ``None``, a space, exception JSON."""
        return (self.task or NO_TASK) + b" " + encode_fault(self.fault)

    @classmethod
    def decode(cls, payload: bytes) -> TaskFault:
        """Read one; :class:`ValueError` unless it is a word and JSON."""
        task, text = split_once(payload)
        return cls(None if task == NO_TASK else task, parse_fault(text))
