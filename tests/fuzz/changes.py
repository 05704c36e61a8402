"""The committed seeds and changes of them, the same for the same chance; like ``rust/core/src/fuzzing/seeds.rs``."""

from __future__ import annotations

from pathlib import Path
from random import Random

SEEDS = Path(__file__).parent / "seeds"
_INTERESTING = b'\0\1\x7f\x80\xff/".[{ \n-9'
_LONGEST_PIECE = 64


def seeds_of(target: str) -> list[bytes]:
    """The seeds of a target, by name."""
    return [file.read_bytes() for file in sorted((SEEDS / target).iterdir())]


def changed(seeds: list[bytes], chance: Random) -> bytes:
    """A seed with one to four changes."""
    found = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        at, end = sorted((chance.randint(0, len(found)), chance.randint(0, len(found))))
        match chance.randrange(7):
            case 0 if found:
                found[at % len(found)] ^= 1 << chance.randrange(8)
            case 1 if found:
                found[at % len(found)] = chance.choice(_INTERESTING)
            case 2:
                found.insert(at, chance.randrange(256))
            case 3:
                del found[at : min(end, at + _LONGEST_PIECE)]
            case 4:
                del found[at:]
            case 5:
                found[at:at] = found[at : min(end, at + _LONGEST_PIECE)] * chance.choice([1, 1, 1, 200])
            case _:
                other = chance.choice(seeds)
                found[at:] = other[chance.randint(0, len(other)) :]
    return bytes(found)
