"""``etc/client.keys``: which agents there are. The keys in it are neither kept nor told to anyone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from outrider.errors import StoreError
from outrider.store.agents import RegisteredAgent

CLIENT_KEYS: Final = "etc/client.keys"
"""Below the home."""
_WORDS = 4
_LARGEST_ID = 2**31 - 1


class ClientKeys(NamedTuple):
    """The agents of a file, and the numbers of the lines that nobody understands."""

    agents: list[RegisteredAgent]
    unread: list[int]


class Stamp(NamedTuple):
    """What a file looks like from outside; a file that changes gets another."""

    inode: int
    bytes: int
    changed_ns: int


def stamp(path: Path) -> Stamp | None:
    """The stamp of the file at ``path``; ``None`` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_ctime_ns)


def read_client_keys(path: Path) -> ClientKeys:
    """Read the file at ``path``; :class:`StoreError` if that is not possible."""
    try:
        with path.open("rb") as lines:
            return parse(lines)
    except OSError as error:
        reason = f"cannot read {path}: {error.strerror}; check what it is, its owner and its mode"
        raise StoreError(reason, error.errno, str(path)) from error


def parse(lines: Iterable[bytes]) -> ClientKeys:
    """The agents of ``ID NAME IP KEY`` lines; a later line about an agent replaces an earlier one.

    Left out are comments (``#`` or a space at the start), empty lines, and agents that were removed (``!`` or
    ``#`` before the name).
    """
    agents: dict[int, RegisteredAgent | None] = {}
    unread = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line[:1] in {b"#", b" "}:
            continue
        try:
            agent, removed = _entry(line)
        except ValueError:
            unread.append(number)
        else:
            agents[agent.id] = None if removed else agent
    return ClientKeys([agent for agent in agents.values() if agent], unread)


def _entry(line: bytes) -> tuple[RegisteredAgent, bool]:
    words = line.decode().split()
    if len(words) < _WORDS or not (words[0].isascii() and words[0].isdigit()):
        raise ValueError
    number = int(words[0])
    if not 0 < number <= _LARGEST_ID:
        raise ValueError
    return RegisteredAgent(number, words[1], words[2]), words[1][0] in "!#"
