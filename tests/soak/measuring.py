"""What a process holds over time: memory, descriptors, threads; and how they grow."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import linear_regression

from msgspec import Struct

SPARE_DESCRIPTORS = 8
"""A few are opened when they are first needed, e.g. a second connection to a database; what leaks goes far beyond."""
MOST_KIB_PER_MINUTE = 150.0
"""Growth in the second half of a soak that is still called none: a quarter of a KiB for each file that was written
meanwhile. Python's collections and the allocator's make memory go up and down by more than that in one minute."""
SHORTEST_MINUTES = 30.0
"""A shorter soak says nothing of memory: the tree, caches, histories and the shelf of steps still fill."""


class Sample(Struct, frozen=True):
    """One look: seconds since the start, and what the process held then; memory without what it maps of files."""

    at_s: float
    memory_kib: float
    descriptors: int
    threads: int


class Growth(Struct, frozen=True):
    """Of one process: memory at first, at last and the slopes of its halves; the least and most of the others.

    ``at_rest`` is how many descriptors it had open before and after, with nothing to do.
    """

    name: str
    samples: int
    minutes: float
    memory_kib: tuple[float, float]
    kib_per_minute: tuple[float, float]
    descriptors: tuple[int, int]
    threads: tuple[int, int]
    at_rest: tuple[int, int]

    def faults(self) -> list[str]:
        """What is not as it must be, in words."""
        found = []
        later = self.kib_per_minute[1]
        if round(self.minutes) >= SHORTEST_MINUTES and later > MOST_KIB_PER_MINUTE:
            found.append(
                f"the memory of {self.name} still grew by {later:.0f} KiB a minute in the second half; "
                f"at most {MOST_KIB_PER_MINUTE:.0f} count as none"
            )
        before, after = self.at_rest
        if after > before + SPARE_DESCRIPTORS:
            found.append(f"{self.name} keeps {after} descriptors open, {before} before")
        return found


def look(pid: int, started: float) -> Sample:
    """What a process holds now."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Sample(
        time.monotonic() - started,
        float(status["RssAnon"].split()[0]),
        descriptors_of(pid),
        int(status["Threads"]),
    )


def descriptors_of(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def descriptors_at_rest(pid: int) -> int:
    """The same without the files of a master's generations, of which there are 16 and at most 64 packs by default."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(not link.endswith((".pack", ".generation")) for link in links)


def rest(pid: int) -> int:
    """The descriptors of a node with nothing to do: the most of a few looks, as a round may be under way at one."""
    seen = []
    for _ in range(10):
        seen.append(descriptors_at_rest(pid))
        time.sleep(0.2)
    return max(seen)


def growth(name: str, seen: list[Sample], at_rest: tuple[int, int]) -> Growth:
    """What was seen, in numbers."""
    middle = seen[0].at_s + (seen[-1].at_s - seen[0].at_s) / 2
    return Growth(
        name=name,
        samples=len(seen),
        minutes=round((seen[-1].at_s - seen[0].at_s) / 60, 1),
        memory_kib=(seen[0].memory_kib, seen[-1].memory_kib),
        kib_per_minute=(
            _slope([one for one in seen if one.at_s <= middle]),
            _slope([one for one in seen if one.at_s >= middle]),
        ),
        descriptors=(min(one.descriptors for one in seen), max(one.descriptors for one in seen)),
        threads=(min(one.threads for one in seen), max(one.threads for one in seen)),
        at_rest=at_rest,
    )


def _slope(seen: list[Sample]) -> float:
    """KiB a minute, of the line through these."""
    slope, _ = linear_regression([one.at_s / 60 for one in seen], [one.memory_kib for one in seen])
    return slope
