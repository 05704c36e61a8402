"""How the demo looks: a live table on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outrider.printable import counted

_WIDTH = 120
"""Columns where no terminal says how many there are; the default of 80 would fold the lines of a log."""

_NARROW = 80
"""Below so many columns a table would lose some of its own."""


@dataclass(slots=True)
class Step:
    """One step: seconds until each worker was in step (``None``: never), bytes that the master sent."""

    name: str
    seconds: list[float | None] = field(default_factory=list)
    bytes_sent: int = 0
    files: int = 0
    recovered: str = ""

    @property
    def equal(self) -> bool:
        """Whether every worker's tree equalled the master's."""
        return bool(self.seconds) and None not in self.seconds


class Show:
    """A context: the table lives while it is open. :meth:`finish` says how it went."""

    def __init__(self, *, as_json: bool) -> None:
        self._console = Console(stderr=as_json)
        if not self._console.is_terminal:
            self._console.width = _WIDTH
        self._as_json = as_json
        self._steps: list[Step] = []
        self._running: Step | None = None
        self._started = time.perf_counter()
        self._is_live = self._console.is_terminal and not as_json
        self._live = Live(get_renderable=self._story, console=self._console, refresh_per_second=8)

    def __enter__(self) -> Self:
        """Open the table, on a terminal."""
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the table as it is."""
        if self._is_live:
            self._live.stop()

    def begin(self, step: Step) -> None:
        """A step starts."""
        self._running = step
        self._started = time.perf_counter()

    def end(self, step: Step) -> None:
        """A step is over."""
        self._running = None
        self._steps.append(step)

    def finish(self) -> int:
        """Print what the live table did not, and the verdict; the exit code."""
        equal = bool(self._steps) and all(step.equal for step in self._steps)
        if self._as_json:
            print(json.dumps({"equal": equal, "steps": [asdict(step) for step in self._steps]}))  # noqa: T201
        elif not self._console.is_terminal:
            self._console.print(self._story())
        verdict = "all trees are equal, compared by hashlib" if equal else "the trees DIFFER"
        self._console.print(f"[{'green' if equal else 'red'}]{verdict}[/]")
        return 0 if equal else 1

    def _story(self) -> RenderableType:
        return self._table() if self._console.width >= _NARROW else self._lines()

    def _lines(self) -> Group:
        told: list[RenderableType] = []
        for step in self._steps:
            name, _, *times, sent, verdict = _cells(step)
            files = counted(step.files, "file")
            told.append(Text.from_markup(f"{name}: {verdict}, {' and '.join(times)}, {sent} sent, {files}"))
        if self._running is not None:
            told.append(Text(f"{self._running.name}: {time.perf_counter() - self._started:.1f} s …"))
        return Group(*told)

    def _table(self) -> Table:
        table = Table(title="One master, two workers, real processes on loopback", title_justify="left")
        table.add_column("step", min_width=18, max_width=48)
        for title in ("files", "worker1", "worker2", "sent"):
            table.add_column(title, justify="right")
        table.add_column("trees")
        for step in self._steps:
            table.add_row(*_cells(step))
        if self._running is not None:
            table.add_row(self._running.name, "", f"{time.perf_counter() - self._started:.1f} s …", "", "", "")
        return table


def _cells(step: Step) -> list[str]:
    times = ["never" if seconds is None else f"{seconds:.2f} s" for seconds in step.seconds]
    verdict = "[green]equal[/]" if step.equal else "[red]differ[/]"
    if step.recovered:
        verdict += f", cut apply {step.recovered}"
    return [step.name, f"{step.files:,}", *times, _amount(step.bytes_sent), verdict]


def _amount(size: int) -> str:
    if size < 10_000:  # noqa: PLR2004  (below this, bytes read better)
        return f"{size:,} B"
    return f"{size / 1e6:,.2f} MB" if size >= 1_000_000 else f"{size / 1e3:,.1f} KB"  # noqa: PLR2004
