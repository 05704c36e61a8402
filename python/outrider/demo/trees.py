"""The demo's files: filled from real ones, changed, deleted, and compared by hashlib alone."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sysconfig
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random

FOLDER = "tree"
_SKIPPED = re.compile(r"\.outrider|__pycache__|(site|dist)-packages|lib-dynload|config-3.*")
"""Folders of the standard library that hold no sources, and those that belong to a node."""


def standard_library() -> Path:
    """Real files that every machine has: some thousand, of all sizes."""
    return Path(sysconfig.get_path("stdlib"))


def fill(home: Path, source: Path, most: int) -> int:
    """Copy up to ``most`` plain files of ``source`` into ``home``'s tree (0: all); how many there are.

    What does not travel is not copied (ADR 6), nor what cannot be read.
    """
    folded: set[str] = set()
    for file in _plain_files(source):
        name = file.relative_to(source)
        target = home / FOLDER / name
        twin = unicodedata.normalize("NFC", str(name)).casefold()
        if twin in folded:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, target)
        except PermissionError:
            continue
        folded.add(twin)
        if len(folded) == most:
            break
    return len(folded)


def files(home: Path) -> list[Path]:
    """The files of ``home``'s tree, sorted."""
    return sorted(path for path in (home / FOLDER).rglob("*") if path.is_file())


def change(home: Path, share: float, random: Random) -> int:
    """Append a line to this share of the files, to one at least; how many were changed."""
    all_files = files(home)
    chosen = random.sample(all_files, max(1, round(len(all_files) * share)))
    for path in chosen:
        with path.open("ab") as file:
            file.write(b"# changed by the demo %x\n" % random.getrandbits(64))
    return len(chosen)


def delete(home: Path, share: float, random: Random) -> int:
    """Delete this share of the files, one at least; how many were deleted."""
    all_files = files(home)
    chosen = random.sample(all_files, max(1, round(len(all_files) * share)))
    for path in chosen:
        path.unlink()
    return len(chosen)


def digests(home: Path) -> dict[str, str]:
    """Path and SHA-256 of every file: the judge shares no code with what it judges.

    A file that a node removes meanwhile is left out: the next look decides.
    """
    found: dict[str, str] = {}
    for path in files(home):
        with contextlib.suppress(FileNotFoundError):
            found[path.relative_to(home).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _plain_files(source: Path) -> Iterator[Path]:
    for path in sorted(source.iterdir()):
        if path.is_symlink() or _SKIPPED.fullmatch(path.name) or not path.name.isprintable() or "\\" in path.name:
            continue
        if path.is_dir():
            yield from _plain_files(path)
        elif path.is_file() and not path.name.endswith(("~", ".tmp", ".lock", ".swp")):
            yield path
