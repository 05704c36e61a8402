"""What an assignment makes of the groups that an agent has, and the hashes over them (specification 6.3, 6.4). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Sequence
from typing import Final, NamedTuple

from outrider.model import GROUP_NAMES, MOST_GROUPS, GroupMode, is_group_name

DEFAULT_GROUP: Final = "default"
_HASH_DIGITS = 8


class Assigned(NamedTuple):
    """The groups that an agent has afterwards, ``None`` if the assignment does not touch it; and what was refused."""

    groups: tuple[str, ...] | None
    refused: tuple[str, ...]


def assign(current: Sequence[str], names: Iterable[str], mode: GroupMode, known: Container[str]) -> Assigned:
    """Apply ``names`` to an agent that has ``current``, highest priority first.

    A group that the agent has already moves to the end. What is refused stops nothing else. An agent that
    loses its last group by ``remove`` falls back to ``default``.
    """
    if mode == "empty_only" and current:
        return Assigned(None, ())
    groups = dict.fromkeys(() if mode == "override" else current)
    refused = []
    for name in names:
        if reason := _fault(name, known):
            refused.append(reason)
        elif mode == "remove":
            groups.pop(name, None)
        elif name not in groups and len(groups) == MOST_GROUPS:
            refused.append(f"group {name!r} would be one more than the {MOST_GROUPS} that an agent may have")
        else:
            groups.pop(name, None)
            groups[name] = None
    if mode == "remove" and names and not groups and DEFAULT_GROUP in known:
        groups[DEFAULT_GROUP] = None
    return Assigned(tuple(groups), tuple(refused))


def group_hash(groups: str) -> str | None:
    """The hash of one agent's groups, their names joined with commas; ``None`` without groups."""
    return hashlib.sha256(groups.encode()).hexdigest()[:_HASH_DIGITS] if groups else None


def global_hash(hashes: Iterable[bytes]) -> str | None:
    """The hash over all agents' hashes by ascending id; ``None`` without any."""
    digest = hashlib.sha1(usedforsecurity=False)
    some = False
    for piece in hashes:
        digest.update(piece)
        some = True
    return digest.hexdigest() if some else None


def _fault(name: str, known: Container[str]) -> str | None:
    if name in known:
        return None
    if not is_group_name(name):
        return f"group {name[:80]!r} has a name that no group may have: {GROUP_NAMES}"
    return f"group {name!r} is unknown here"
