"""Tries faults of the disk: every one, those of some scenarios, or one that a failure named.

``act`` is what a process under strace runs.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.catalogue import SCENARIOS
from tests.faults.strace import Point

TRIED = Path(__file__).parents[2] / "target" / "faults-tried"
"""What an earlier run has tried; it goes when all was."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"some of: {', '.join(SCENARIOS)}; all if none is named")
    parser.add_argument("--at", help="one point, as a failure names it: call:number:fault")
    given = parser.parse_args()
    point = (
        Point(*(kind(word) for kind, word in zip((str, int, str), given.at.split(":"), strict=True)))
        if given.at
        else None
    )
    tried = set(TRIED.read_text().splitlines()) if TRIED.exists() and point is None else set()
    failures = 0
    total = Counter[str]()
    for name in given.scenarios or SCENARIOS:
        failures += _try(name, point, tried, total)
    reached = total.total() - total["not reached"]
    print(f"{reached} points tried, {failures} of them failed; {total['not reached']} calls were not made again")
    if not failures and not given.scenarios:
        TRIED.unlink(missing_ok=True)
    return 1 if failures else 0


def _try(name: str, point: Point | None, tried: set[str], total: Counter[str]) -> int:
    """Every point of one scenario, or one; how many failed."""
    outcomes, failures = Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="outrider-faults-") as folder:
        scenario = SCENARIOS[name](Path(folder) / name)
        scenario.learn()
        for one in [point] if point else scenario.points():
            word = f"{name} {one}"
            if word in tried:
                outcomes["tried before"] += 1
                continue
            try:
                outcomes[scenario.try_at(one)] += 1
            except AssertionError as error:
                failures += 1
                outcomes["failed"] += 1
                print(error, file=sys.stderr)
                continue
            TRIED.parent.mkdir(exist_ok=True)
            with TRIED.open("a") as file:
                file.write(word + "\n")
    total.update(outcomes)
    print(f"{name}: {', '.join(f'{count} {what}' for what, count in sorted(outcomes.items()))}", flush=True)
    return failures


def _act(name: str, home: Path) -> None:
    # Temporary names must be the same in each run: strace is told which paths count.
    tempfile._name_sequence = itertools.cycle(random.Random(1).sample("abcdefgh", 8))  # type: ignore[attr-defined]
    SCENARIOS[name].act(home)


if __name__ == "__main__":
    if sys.argv[1:2] == ["act"]:
        _act(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
