"""Lets libFuzzer search one parser: ``python -m tests.fuzz.searching NAME`` and libFuzzer's own options."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["outrider"]):
    from tests.fuzz import disk, wire


def main() -> None:
    name, *options = sys.argv[1:]
    parser = {**wire.TARGETS, **disk.TARGETS}[name]
    atheris.Setup([sys.argv[0], *options], parser)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
