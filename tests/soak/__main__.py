"""``make soak``: a master and workers under churn; how memory, descriptors and threads go, as a table and JSON."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import msgspec
from rich.console import Console
from rich.table import Table
from tests.soak.churn import Churn, churn
from tests.soak.measuring import Growth, Sample, growth, look

_REPORT = Path("target/soak.json")
_LOOK_EACH_S = 1.0
_WARM_UP = 0.2
"""Of the whole time: caches, threads and the last generations fill."""


def main(minutes: float) -> None:
    """Run so long, then say what was seen."""
    with tempfile.TemporaryDirectory() as folder, churn(Path(folder)) as busy:
        samples = _watched(busy, 60 * minutes)
        busy.settle()
        descriptors = {node.home.name: look(node.pid, 0).descriptors for node in busy.nodes}
    found = [growth(name, seen, _WARM_UP * 60 * minutes) for name, seen in samples.items()]
    _REPORT.parent.mkdir(exist_ok=True)
    report = {"minutes": minutes, "did": busy.counts, "growth": found, "descriptors_at_rest": descriptors}
    _REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    _show(found, busy.counts, minutes)


def _watched(busy: Churn, seconds: float) -> dict[str, list[Sample]]:
    """Keep them busy; a thread looks at each process meanwhile."""
    samples: dict[str, list[Sample]] = {node.home.name: [] for node in busy.nodes}
    started, over = time.monotonic(), Event()

    def watch() -> None:
        while not over.wait(_LOOK_EACH_S):
            for node in busy.nodes:
                samples[node.home.name].append(look(node.pid, started))

    watching = Thread(target=watch)
    watching.start()
    try:
        busy.run(started + seconds)
    finally:
        over.set()
        watching.join()
    return samples


def _show(found: list[Growth], counts: dict[str, int], minutes: float) -> None:
    did = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    table = Table(title=f"{minutes:g} minutes: {did}", title_justify="left")
    for column in ("", "memory, first and last", "growth", "descriptors", "threads"):
        table.add_column(column, justify="left" if not column else "right")
    for one in found:
        table.add_row(
            one.name,
            f"{one.rss_first_kib / 1024:.1f} and {one.rss_last_kib / 1024:.1f} MiB",
            f"{one.rss_kib_per_minute:+.1f} KiB a minute",
            "{} to {}".format(*one.descriptors),
            "{} to {}".format(*one.threads),
        )
    Console().print(table)
    Console().print(f"after a warm-up of {_WARM_UP:.0%}; all of it is in {_REPORT}")


if __name__ == "__main__":
    main(float(os.environ.get("SOAK_MINUTES", "30")) if len(sys.argv) < 2 else float(sys.argv[1]))
