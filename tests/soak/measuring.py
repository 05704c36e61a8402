"""What a process holds over time: memory, descriptors, threads; and how they grow."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import linear_regression

from msgspec import Struct

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


class Sample(Struct, frozen=True):
    """One look: seconds since the start, and what the process held then."""

    at_s: float
    rss_kib: float
    descriptors: int
    threads: int


class Growth(Struct, frozen=True):
    """Of one process after its warm-up: memory as a line through all samples, and the least and most of the others."""

    name: str
    samples: int
    minutes: float
    rss_first_kib: float
    rss_last_kib: float
    rss_kib_per_minute: float
    descriptors: tuple[int, int]
    threads: tuple[int, int]


def look(pid: int, started: float) -> Sample:
    """What a process holds now."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return Sample(
        time.monotonic() - started,
        pages * _PAGE_KIB,
        descriptors_of(pid),
        len(list((process / "task").iterdir())),
    )


def descriptors_of(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def descriptors_at_rest(pid: int) -> int:
    """The same without the files of a master's generations, of which there are 16 and at most 64 packs by default."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(not link.endswith((".pack", ".generation")) for link in links)


def growth(name: str, samples: list[Sample], warm_up_s: float) -> Growth:
    """The line through what was seen after the warm-up."""
    seen = [sample for sample in samples if sample.at_s >= warm_up_s]
    minutes = [sample.at_s / 60 for sample in seen]
    slope, _ = linear_regression(minutes, [sample.rss_kib for sample in seen])
    return Growth(
        name=name,
        samples=len(seen),
        minutes=minutes[-1] - minutes[0],
        rss_first_kib=seen[0].rss_kib,
        rss_last_kib=seen[-1].rss_kib,
        rss_kib_per_minute=slope,
        descriptors=(min(one.descriptors for one in seen), max(one.descriptors for one in seen)),
        threads=(min(one.threads for one in seen), max(one.threads for one in seen)),
    )
