"""``make soak``: a master and workers under churn; how memory, descriptors and threads go, as a table and JSON.

It fails if the memory of a node still grows in the second half, or if a node has more open afterwards than before.
"""

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
from tests.soak.measuring import MOST_KIB_PER_MINUTE, SHORTEST_MINUTES, Growth, Sample, growth, look, rest

_REPORT = Path("target/soak.json")
_LOOK_EACH_S = 1.0


def main(minutes: float) -> int:
    """Run so long, then say what was seen; the exit code says whether it is as it must be."""
    with tempfile.TemporaryDirectory() as folder, churn(Path(folder)) as busy:
        before = {node.home.name: rest(node.pid) for node in busy.nodes}
        samples = _watched(busy, 60 * minutes)
        busy.settle()
        after = {node.home.name: rest(node.pid) for node in busy.nodes}
    found = [growth(name, seen, (before[name], after[name])) for name, seen in samples.items()]
    faults = [fault for one in found for fault in one.faults()]
    _REPORT.parent.mkdir(exist_ok=True)
    report = {"minutes": minutes, "did": busy.counts, "growth": found, "faults": faults, "samples": samples}
    _REPORT.write_bytes(msgspec.json.encode(report))
    _show(found, busy.counts, minutes)
    _judge(faults, minutes)
    return 1 if faults else 0


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
    columns = ("", "MiB", "KiB a minute in each half", "descriptors", "at rest", "threads")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    for one in found:
        first, last = (kib / 1024 for kib in one.memory_kib)
        table.add_row(
            one.name,
            f"{first:.1f} to {last:.1f}",
            "{:+.0f}, {:+.0f}".format(*one.kib_per_minute),
            "{} to {}".format(*one.descriptors),
            "{}, then {}".format(*one.at_rest),
            "{} to {}".format(*one.threads),
        )
    Console().print(table)


def _judge(faults: list[str], minutes: float) -> None:
    say = Console(soft_wrap=True).print
    for fault in faults:
        say(fault)
    if minutes < SHORTEST_MINUTES:
        say(f"a soak of less than {SHORTEST_MINUTES:.0f} minutes says nothing of memory")
    elif not faults:
        say(f"steady: no node's memory grew by more than {MOST_KIB_PER_MINUTE:.0f} KiB a minute in the second half")
    say(f"all of it is in {_REPORT}")


if __name__ == "__main__":
    sys.exit(main(float(os.environ.get("SOAK_MINUTES", "30")) if len(sys.argv) < 2 else float(sys.argv[1])))
