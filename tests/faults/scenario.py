"""What is done while the disk fails, and what must be true afterwards."""

from __future__ import annotations

import contextlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from tests.faults import order
from tests.faults.strace import SYNCS, Outcome, Point, Strace

from outrider.errors import OutriderError

S = TypeVar("S")


class Scenario(ABC):
    """One piece of work on a home. ``folder`` is where it keeps what several runs share."""

    name: ClassVar[str]
    always: ClassVar[Sequence[str]] = ()
    """Options of strace for every run."""
    told: ClassVar[bool] = True
    """Whether each sync belongs to something that is told: one that fails makes that fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        folder.mkdir(parents=True, exist_ok=True)
        self.strace = Strace(self.name, self.home, self.always)

    @abstractmethod
    def prepare(self) -> None:
        """Fill the empty home."""

    @staticmethod
    @abstractmethod
    def act(home: Path) -> None:
        """The work, in the process that is disturbed; each part that counts is an :func:`attempt`."""

    @abstractmethod
    def check(self, outcome: Outcome) -> str:
        """Start again without faults; what stands there then, in a word. :class:`AssertionError` if it must not."""

    def fresh(self) -> None:
        """The state that every run begins with."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        self.prepare()

    def learn(self, paths: Sequence[str] | None = None) -> list[str]:
        """Which paths count; see :meth:`Strace.learn`."""
        self.fresh()
        return self.strace.learn(paths)

    def points(self) -> list[Point]:
        """Every point of an undisturbed run."""
        self.fresh()
        return self.strace.points()

    def losses(self, *options: str) -> list[str]:
        """What a power cut could cost, at its worst moment."""
        self.fresh()
        return list(order.losses(self.strace.logged(*options), self.home))

    def try_at(self, point: Point) -> str:
        """Disturb it here; what came of it."""
        self.fresh()
        outcome = self.strace.run(point)
        assert "Traceback" not in outcome.errors, f"{self.name} at {point}: {outcome.errors}"
        assert outcome.died or outcome.code == 0, f"{self.name} at {point}: it ended with {outcome.code}"
        if not outcome.reached:
            return "not reached"
        if self.told and point.call in SYNCS and not outcome.died:
            # Threat 34: what is not known to be on disk is not said to be.
            assert outcome.failed, f"{self.name} at {point}: a sync failed and nobody was told"
        try:
            return self.check(outcome)
        except (AssertionError, OutriderError, OSError) as error:
            told = f"done {outcome.done}, failed {outcome.failed}"
            raise AssertionError(f"{self.name} at {point} ({told}): {error}") from error


@contextlib.contextmanager
def attempt(word: str) -> Iterator[None]:
    """Part of the work of an act: says whether it was done; an error that a node would handle ends only this part."""
    try:
        yield
    except OutriderError as error:
        print("failed", word, str(error).replace("\n", " "), flush=True)  # noqa: T201
    else:
        print("done", word, flush=True)  # noqa: T201


def possible(start: S, parts: Sequence[tuple[str, Callable[[S], S]]], outcome: Outcome) -> list[S]:
    """What may stand there: all that was told as done, and of the rest each part or not."""
    states = [start]
    for word, change in parts:
        after = [change(state) for state in states]
        states = after if word in outcome.done else [*states, *after]
    return states
