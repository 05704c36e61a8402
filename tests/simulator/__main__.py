"""``make simulate SEEDS=a..b``: run these seeds; interrupted, it goes on where it was when it is called again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.simulator.campaign import Tally, campaign, load, save, told

_PROGRESS = Path("target/simulation")
_SHOWN_EACH_S = 10.0


def main(arguments: list[str]) -> int:
    """How many seeds broke an invariant decides the exit code."""
    try:
        first, last = (int(part) for part in arguments[0].split(".."))
    except (IndexError, ValueError):
        print("which seeds? For example: make simulate SEEDS=0..999", file=sys.stderr)
        return 2
    file = _PROGRESS / f"{first}..{last}.json"
    tally = load(file)
    if tally.seeds:
        print(f"going on after {tally.seeds} seeds; {file} knows which")
    try:
        _run(range(first, last + 1), tally, file)
    except KeyboardInterrupt:
        print(f"\ninterrupted after {tally.seeds} seeds; the same command goes on")
        return 130
    _show(tally, last + 1 - first)
    for seed, broken in sorted(tally.broken.items()):
        print(told(seed, broken))
    return 1 if tally.broken else 0


def _run(seeds: range, tally: Tally, file: Path) -> None:
    shown = time.monotonic()
    for outcomes in campaign(seeds, tally):
        save(file, tally)
        for one in outcomes:
            if one.broken:
                print(told(one.seed, one.broken), flush=True)
        if time.monotonic() - shown > _SHOWN_EACH_S:
            shown = time.monotonic()
            _show(tally, len(seeds))


def _show(tally: Tally, whole: int) -> None:
    each = 1000 * tally.cpu_s / max(1, tally.seeds)
    print(
        f"{tally.seeds} of {whole} seeds, {len(tally.broken)} broken; {each:.0f} ms of a core, "
        f"{tally.virtual_s / max(1, tally.seeds):.0f} s of virtual time and {tally.messages // max(1, tally.seeds)} "
        "messages each",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
