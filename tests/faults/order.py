"""What a power cut could cost, by the order of writes and syncs in a log of strace.

A process that is killed loses nothing that it has written; a machine that loses its power loses what was not synced. No
test here cuts the power. But the log tells what would be lost: a file that takes its place by a rename before its
content was synced, and what is told as done before the entry in its folder was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SYNCS = ("fsync", "fdatasync", "syncfs")
_RENAMES = ("rename", "renameat", "renameat2")
_WRITES = ("write", "pwrite64", "ftruncate", "copy_file_range")
_MAKES = ("openat", "mkdir", "mkdirat")
CALLS = (*SYNCS, *_RENAMES, *_WRITES, *_MAKES)
"""What strace has to log, with ``-y``."""
HINTS = frozenset({"index", "index.tmp", "trash", "stage", "generations/last"})
"""Below ``.outrider``: a node works without them, or has them on their way in or out."""
JOURNALS = frozenset({".outrider/journal", ".outrider/journal.undo"})
"""What they say of a tree must be durable before the tree is touched, and that they are over before it is told."""
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_HANDLE = re.compile(r"\w+<([^>]*)>")
_PLACE = re.compile(r'(?:\w+<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')


def losses(log: str, home: Path) -> Iterator[str]:
    """What could be lost of a run on ``home``."""
    content: set[Path] = set()  # files whose last bytes are not synced
    entries: set[Path] = set()  # what is new in a folder that is not synced
    for call, rest in _calls(log):
        if call == "syncfs":
            content, entries = set(), set()
        elif call in SYNCS:
            (where,) = _handles(rest)
            content, entries = content - {where}, {path for path in entries if path.parent != where}
        elif call == "write" and re.match(r'1<[^>]*>, "done', rest):
            lost = sorted(path for path in content | entries if _counts(path, home))
            yield from (f"it is told as done before {path} is durable" for path in lost)
        elif call in _WRITES:
            content.add(_handles(rest)[-1])
        elif call in _RENAMES:
            old, new = _places(rest)
            yield from (f"{new} is changed before {path} is durable" for path in _decisions(entries, new, home))
            if old in content and _counts(new, home):
                yield f"{new} takes its place before its content is durable"
            content, entries = (
                {new if path == old else path for path in content},
                {*entries - {old}, new, *_journals(home, old)},
            )
        elif call.startswith("mkdir") or "O_CREAT" in rest:
            entries.update(_places(rest))


def _decisions(entries: set[Path], new: Path, home: Path) -> list[Path]:
    """The journals that are not synced, if ``new`` is of the tree."""
    of_tree = new.is_relative_to(home) and not new.is_relative_to(home / ".outrider")
    return _journals(home, *entries) if of_tree else []


def _journals(home: Path, *paths: Path) -> list[Path]:
    return sorted({*paths} & {home / name for name in JOURNALS})


def _counts(path: Path, home: Path) -> bool:
    if not path.is_relative_to(home):
        return False
    inner = path.relative_to(home).parts
    hint = len(inner) > 1 and inner[0] == ".outrider" and HINTS & {inner[1], "/".join(inner[1:3])}
    # A generation that is left behind gets another name, and is found under either.
    return not hint and path.suffix != ".pack"


def _handles(rest: str) -> list[Path]:
    return [Path(found) for found in _HANDLE.findall(rest)]


def _places(rest: str) -> list[Path]:
    return [Path(folder or "/") / name for folder, name in _PLACE.findall(rest)]


def _calls(log: str) -> Iterator[tuple[str, str]]:
    """Each call that was made and did not fail, as it ended. What strace answered itself was not made."""
    begun: dict[str, str] = {}
    for line in log.splitlines():
        if (found := _LINE.match(line)) is None:
            continue
        thread, resumed, called, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        whole = begun.pop(thread, "") + rest if resumed else rest
        if re.search(r"= \d+(<[^>]*>)?$", whole) and "(deleted)" not in whole:
            yield resumed or called, whole
