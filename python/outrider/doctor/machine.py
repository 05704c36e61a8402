"""The machine below: room on the disk, and the system's limits on watched folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.printable import counted

_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_LEAST_BYTES, _LEAST_FILES = 64 << 20, 1000


def disk(patient: Patient) -> Iterator[Finding]:
    """Whether an apply that replaces the whole tree finds room: the old version stays until it is done."""
    room = os.statvfs(patient.settings.node.home)
    files, size = _tree(patient)
    free, inodes = room.f_bavail * room.f_frsize, room.f_favail
    what = f"{_mib(free)} free, the tree has {counted(files, 'file')} of {_mib(size)}"
    if free < _LEAST_BYTES or (room.f_files and inodes < _LEAST_FILES):
        short = what if free < _LEAST_BYTES else f"{counted(inodes, 'inode')} free"
        yield Finding.bad("disk", short, "make room: an apply that finds none changes nothing and is tried again")
    elif free < size or (room.f_files and inodes < files):
        yield Finding.warning(
            "disk", what, "a step that changes every file needs as much room again as the tree: make some"
        )
    else:
        yield Finding.good("disk", what)


def watches(patient: Patient) -> Iterator[Finding]:
    """Whether the system lets the node watch every folder of its tree."""
    if not patient.settings.watch.enabled:
        yield Finding.warning("watches", "watch.enabled is false", "changes wait for the intervals unless it is true")
        return
    try:
        allowed = int(_WATCHES.read_text())
    except (OSError, ValueError):
        return  # a system without inotify's limits
    folders = len(patient.folders())
    what = f"{counted(folders, 'folder')} to watch, this user may watch {allowed:,}"
    if folders > allowed:
        yield Finding.bad(
            "watches", what, f"sysctl fs.inotify.max_user_watches={2 * folders}; until then intervals serve"
        )
    elif 2 * folders > allowed:
        yield Finding.warning("watches", what, f"sysctl fs.inotify.max_user_watches={4 * folders}")
    else:
        yield Finding.good("watches", what)


def _tree(patient: Patient) -> tuple[int, int]:
    """Files and bytes below the folders of the table."""
    files = size = 0
    for folder in patient.folders():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_size
    return files, size


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
