"""Searches every parser of bytes from outside for bytes that break it: ``python -m tests.fuzz MINUTES [NAME...]``.

Those of the core are libFuzzer's (``rust/fuzz/run``), Python's are atheris's, which is libFuzzer with the coverage of
Python's own code. Both begin with the committed seeds and with what earlier runs have found (``target/fuzz/corpus``).
What breaks a parser is left in ``target/fuzz/broken``: mend it, then keep it as a seed, which ``make test`` tries from
then on.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.changes import SEEDS

REPO = Path(__file__).parents[2]
_FOUND = REPO / "target" / "fuzz"
_OURS = sorted(folder.name for folder in SEEDS.iterdir())
_CORE = sorted(folder.name for folder in (REPO / "rust/fuzz/seeds").iterdir())
_LARGEST = 16 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("minutes", type=float, help="for all of them together")
    parser.add_argument("names", nargs="*", help=f"all if none is named; in Python {', '.join(_OURS)}")
    given = parser.parse_args()
    names = given.names or [*_CORE, *_OURS]
    if unknown := sorted({*names} - {*_CORE, *_OURS}):
        parser.error(f"no parser is called {unknown[0]}; there are {', '.join(sorted({*_CORE, *_OURS}))}")
    core, ours = [name for name in names if name in _CORE], [name for name in names if name in _OURS]
    each_s = given.minutes * 60 / (len(core) + len(ours))
    code = 0
    if core:
        code = subprocess.run(
            ["rust/fuzz/run", str(round(each_s * len(core))), *core], cwd=REPO, check=False
        ).returncode
    return code or _search(ours, max(1, round(each_s)))


def _search(names: list[str], seconds: int) -> int:
    """Each in a process of its own: libFuzzer ends the one that it runs in."""
    runs = 0
    for name in names:
        corpus, broken = _FOUND / "corpus" / name, _FOUND / "broken"
        corpus.mkdir(parents=True, exist_ok=True)
        broken.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "tests.fuzz.searching", name, f"-max_total_time={seconds}"]
        argv += [f"-max_len={_LARGEST}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
        argv += [f"-artifact_prefix={broken}/{name}-", str(corpus), str(SEEDS / name)]
        with tempfile.TemporaryDirectory(prefix="outrider-fuzz-") as folder:  # libFuzzer lets nobody tidy up
            env = os.environ | {"TMPDIR": folder}
            ended = subprocess.run(
                argv, cwd=REPO, check=False, capture_output=True, text=True, errors="replace", env=env
            )
        if ended.returncode:
            print(*ended.stderr.splitlines()[-40:], sep="\n", file=sys.stderr)
            print(f"{name} is broken by a file in {broken}", file=sys.stderr)
            return 1
        found = re.search(r"stat::number_of_executed_units: *(\d+)", ended.stderr)
        assert found is not None, ended.stderr
        runs += int(found[1])
        print(f"{name}: {found[1]} runs", flush=True)
    if names:
        print(f"{runs} runs of {len(names)} parsers in Python, none of which broke")
    return 0


if __name__ == "__main__":
    sys.exit(main())
