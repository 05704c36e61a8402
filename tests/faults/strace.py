"""A process of ours under strace, in which one system call on its home fails, or kills it before it is done.

strace counts calls by thread, so where several threads share work the n-th call of one run may be another's in the
next, or come to none: :attr:`Outcome.reached` tells.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import order

STRACE = shutil.which("strace")
KILL = "KILL"
_CHANGES = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES")
_WRITES = ("EIO", "ENOSPC", "EDQUOT")
SYNCS = frozenset(order.SYNCS)
ERRORS = {
    **dict.fromkeys(
        ("openat", "openat2", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat"), _CHANGES
    ),
    **dict.fromkeys(("rmdir", "fchmod", "fchmodat", "fchown", "ftruncate"), _CHANGES),
    **dict.fromkeys(("write", "pwrite64", *sorted(SYNCS)), _WRITES),
    **dict.fromkeys(("read", "pread64", "getdents64"), ("EIO",)),
}
"""The calls that are disturbed, and what each of them may say."""
_REPO = Path(__file__).parents[2]


@dataclass(frozen=True, order=True)
class Point:
    """The ``number``-th ``call`` of a thread, and what becomes of it: an error's name, or :data:`KILL`."""

    call: str
    number: int
    fault: str

    def __str__(self) -> str:
        return f"{self.call}:{self.number}:{self.fault}"

    def options(self) -> list[str]:
        """For strace."""
        how = "signal=KILL" if self.fault == KILL else f"error={self.fault}"
        return ["-e", f"inject={self.call}:{how}:when={self.number}"]


@dataclass(frozen=True)
class Outcome:
    """What a process said: the words of what it has done, those of what failed, and why."""

    code: int
    done: tuple[str, ...]
    failed: dict[str, str]
    errors: str
    calls: str

    @property
    def reached(self) -> bool:
        """Whether the call was made that was to be disturbed."""
        return "(INJECTED)" in self.calls or "killed by SIGKILL" in self.calls

    @property
    def died(self) -> bool:
        """Whether the process was killed."""
        return "killed by SIGKILL" in self.calls


class Strace:
    """Runs scenario ``name`` on ``home``; ``always`` are options of every run."""

    def __init__(self, name: str, home: Path, always: Sequence[str] = ()) -> None:
        self._name, self._home, self._always = name, home, always
        self._paths: list[str] = []

    def learn(self, paths: Sequence[str] | None = None) -> list[str]:
        """See which paths below the home an undisturbed run touches, or be told; only calls on these count."""
        if paths is None:
            log = self._run("-y").calls
            found = re.findall(r'[<"](/[^>"]*?)(?: \(deleted\))?[>"]', log)
            below = {path for path in found if Path(path).is_relative_to(self._home)}
            paths = sorted(str(Path(path).relative_to(self._home)) for path in below)
        self._paths = [word for path in paths for word in ("-P", str(self._home / path))]
        return list(paths)

    def run(self, point: Point | None = None, *options: str) -> Outcome:
        """Run it once."""
        return self._run(*self._paths, *(point.options() if point else ()), *options)

    def logged(self, *options: str) -> str:
        """What an undisturbed run, or one with these options, does and where: for :mod:`tests.faults.order`."""
        return self._run("-y", "-s", "256", "-e", f"trace={','.join(order.CALLS)}", *options).calls

    def points(self) -> list[Point]:
        """Every call of an undisturbed run, with each of its faults."""
        counts = Counter(re.findall(r"^(\d+) +(\w+)\(", self.run().calls, re.MULTILINE))
        most = {name: max((n for (_, call), n in counts.items() if call == name), default=0) for name in ERRORS}
        return [
            Point(name, number, fault)
            for name, errors in ERRORS.items()
            for number in range(1, most[name] + 1)
            for fault in (KILL, *errors)
        ]

    def _run(self, *options: str) -> Outcome:
        log = self._home.with_suffix(".calls")
        argv = [str(STRACE), "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(sorted(ERRORS))}"]
        argv += [*self._always, *options, sys.executable, "-m", "tests.faults", "act", self._name, str(self._home)]
        ended = subprocess.run(argv, capture_output=True, check=False, cwd=_REPO, text=True)
        lines = [line.split(" ", 2) for line in ended.stdout.splitlines()]
        done = tuple(words[1] for words in lines if words[0] == "done")
        failed = {words[1]: words[2] for words in lines if words[0] == "failed"}
        return Outcome(ended.returncode, done, failed, ended.stderr, log.read_text())
