"""The one display of what takes long: drawn by rich on standard error while a command works or waits.

It is there for a person alone: nothing is drawn where standard error is no terminal, nor for a program (``--json``).
It looks at counts when it draws and is told nothing, so that the work is as fast as without it; it comes after a
moment, so that a command which is quick stays as it is; and it leaves no line behind. Ctrl-C ends the work with one
line that says what is left (:class:`Interrupted`). Standard output is never touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Timer
from typing import NamedTuple, TypeVar

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from outrider._native import ScanProgress
from outrider.cli.options import Interrupted
from outrider.printable import counted, printable

T = TypeVar("T")

_SOON_S = 0.5
"""What is over within this draws nothing."""
NOTHING_CHANGED = "nothing was changed"


class Count(NamedTuple):
    """How far something is: ``done`` of ``total`` (``None``: nobody knows), and both in words."""

    done: float
    total: float | None
    words: str


@contextmanager
def shown(
    text: str,
    *,
    quiet: bool = False,
    count: Callable[[], Count] | None = None,
    left: str | Callable[[], str] = NOTHING_CHANGED,
) -> Iterator[None]:
    """Show ``text`` and the time since now, with a bar where there is a ``count``, until the context ends.

    ``quiet`` is what ``--json`` says. Ctrl-C within raises :class:`Interrupted`, which tells what is ``left``.
    """
    with ExitStack() as drawing:
        if sys.stderr.isatty() and not quiet:
            _draw(_Display(text, count), drawing)
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(left if isinstance(left, str) else left()) from None


def _draw(display: _Display, until: ExitStack) -> None:
    """Start the display in a moment, unless the stack is closed by then."""
    until.callback(display.stop)
    soon = Timer(_SOON_S, display.start)
    soon.daemon = True
    soon.start()
    until.callback(soon.join)
    until.callback(soon.cancel)


def scanned(text: str, work: Callable[[ScanProgress], T], *, quiet: bool, left: str = NOTHING_CHANGED) -> T:
    """Do ``work``, which hands its argument to a scan, and show how many files it has looked at.

    It runs in a thread of its own: native code hears no Ctrl-C, and is told by the counter that it shall end.
    """
    progress = ScanProgress()
    with shown(text, quiet=quiet, count=lambda: count_of(progress), left=left), ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(work, progress).result()
        finally:
            progress.stop()


def count_of(progress: ScanProgress) -> Count:
    """A scan's counter as a count of files."""
    done, expected = progress.files, progress.expected
    total = expected if expected >= max(done, 1) else None  # there are more than there were
    return Count(done, total, f"{of(done, total, 'file')}, {decimal(progress.bytes)} read")


def of(done: int, total: int | None, noun: str) -> str:
    """A count as a person reads it."""
    return counted(done, noun) if total is None else f"{done:,} of {counted(total, noun)}"


class _Display(Progress):
    """One line: what goes on, how far it is, and for how long already. It asks for the count whenever it is drawn."""

    def __init__(self, text: str, count: Callable[[], Count] | None) -> None:
        self._count = count
        bar = (BarColumn(bar_width=24), TextColumn("{task.fields[words]}", markup=False)) if count else ()
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *bar,
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.add_task(printable(text), total=None, words="")

    def get_renderables(self) -> Iterable[RenderableType]:
        """What rich draws now."""
        if self._count is not None:
            done, total, words = self._count()
            for task in self.task_ids:
                # rich stops the clock of what is complete; as long as this is drawn, it is not.
                self.update(task, completed=done if total is None else min(done, total - 1), total=total, words=words)
        yield from super().get_renderables()
