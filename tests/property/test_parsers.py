"""Each of Python's parsers, with its seeds and what chance makes of them: the short run of ``make fuzz``.

``OUTRIDER_SEED`` chooses the changes.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from tests.fuzz import disk, wire
from tests.fuzz.changes import SEEDS, changed, seeds_of

SEED = int(os.environ.get("OUTRIDER_SEED", "6"))
SLOW = {"agents_db": 60, "outbox": 60, "authority": 200}
"""They make databases, or derive a key from a passphrase."""
RUNS = 1000
TARGETS = {**wire.TARGETS, **disk.TARGETS}


def test_each_parser_has_seeds_and_each_seed_a_parser() -> None:
    assert {folder.name for folder in SEEDS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_threat_06_seeds_and_what_chance_makes_of_them_break_no_parser(name: str) -> None:
    seeds, chance = seeds_of(name), Random(SEED)
    tried = [*seeds, *(changed(seeds, chance) for _ in range(SLOW.get(name, RUNS)))]
    for data in tried:
        try:
            TARGETS[name](data)
        except Exception as error:
            error.add_note(f"{name} is broken by {data[:2000]!r}: keep it as a seed in {SEEDS / name}")
            raise
