"""Whether a tree is still the last generation that it was, file by file; for a home whose node runs or not.

Nothing is changed: the index, too, stays as it is, since a worker's is the only memory of what a generation held.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from outrider._native import Manifest, ScanProgress, Tree, diff, latest_generation
from outrider.codes import Code
from outrider.errors import StoreError, SyncError
from outrider.settings import Settings
from outrider.store.tree import files_table, open_tree
from outrider.sync.generations import Known

_MADE, _TAKEN = ".outrider/generations/last", ".outrider/standing.json"


class Verified(Struct, frozen=True, kw_only=True):
    """What the tree holds beside what it should: paths; ``left_out`` names what could not be looked at, and why.

    ``exact`` is false where this home does not know any more which files the generation had: then the lists are
    beside the last look at the tree, and what was changed before it may be missing in them.
    """

    generation: int
    root: str
    files: int
    same: bool
    exact: bool
    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    deleted: Sequence[str] = ()
    left_out: Sequence[tuple[str, str]] = ()


class _Last(NamedTuple):
    number: int
    root: str
    manifest: Manifest


def verify(settings: Settings, progress: ScanProgress | None = None) -> Verified:
    """Read every file of the home's tree. :class:`SyncError` if there is no generation to compare it with.

    ``progress`` counts meanwhile, and expects as many files as the generation has.
    """
    home, tree, table = settings.node.home, open_tree(settings), files_table(settings)
    last = _last(home, tree)
    if progress is not None:
        progress.expect(len(last.manifest))
    found = tree.scan(rehash=True, look_only=True, progress=progress)
    plan = diff(last.manifest, found.manifest, table)
    own = {row.folder for row in settings.tree.files if row.extra_valid}
    # Files of the node's own are remembered beside those of the generation: then no root tells which are which.
    exact = last.manifest.root == last.root or any(entry.rule in own for entry in last.manifest.entries())
    unseen = tuple(path for path, _ in found.problems)
    below = tuple(f"{path}/" for path in unseen)
    deleted = [one.path for one in plan.missing if one.path not in unseen and not one.path.startswith(below)]
    return Verified(
        generation=last.number,
        root=last.root,
        files=len(found.manifest),
        same=not plan and exact,
        exact=exact,
        added=[entry.path for entry in plan.extra],
        changed=[entry.path for entry in plan.shared],
        deleted=deleted,
        left_out=found.problems,
    )


def _last(home: Path, tree: Tree) -> _Last:
    """What the home did last: made a generation, as a master, or took one, as a worker."""
    if _age(home / _MADE) > _age(home / _TAKEN):
        if (found := latest_generation(str(home))) is not None:
            generation, manifest = found
            return _Last(generation.number, generation.root, manifest)
    elif (known := _known(home / _TAKEN)).number:
        return _Last(known.number, known.root, tree.remembered())
    raise SyncError(
        f"{home} has no generation to compare its tree with: a master makes one at its first look, a worker takes one "
        "from a master that is an Outrider; `outrider scan` says what lies there"
    ).coded(Code.NO_GENERATION)


def _known(path: Path) -> Known:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except FileNotFoundError:
        return Known()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): start the node, and it makes a new one").coded(
            Code.DAMAGED
        ) from error


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
