"""Large files on the fast path: bytes on the wire beside zstd with the old version as the prefix, in the same run.

From a generation that the master keeps, and from a version that it has never seen, where the worker describes its
chunks; what content-defined chunking with zstd took on data of the same make is quoted for the latter.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from benches.cluster import disk, resident
from benches.peers import patch_bytes
from benches.rows import Row
from outrider.demo.processes import NodeProcess

_FILE = "tree/large.conf"


class Case(NamedTuple):
    """``chunks_kb`` is what FastCDC with zstd took, data and signatures, in KB (10 or 50 MB)."""

    name: str
    size: int
    edit: Callable[[bytes], bytes]
    chunks_kb: float


def run(*, short: bool) -> list[Row]:
    """Each case twice; in the short run on a tenth of the size, where the figures of chunking do not hold."""
    rows = []
    for case in _CASES:
        size = case.size // 10 if short else case.size
        old = _text(size)
        new = case.edit(old)
        with tempfile.TemporaryDirectory(dir=disk()) as base:
            theirs = patch_bytes(Path(base) / "peer", old, new)
            known = asyncio.run(_known(Path(base) / "known", old, new))
            unknown = asyncio.run(_unknown(Path(base) / "unknown", old, new))
        name = f"{case.name} {size / 1e6:.0f} MB"
        rows.append(Row(name, known / 1e3, "zstd --patch-from", theirs / 1e3, ">= 1/1.2", "KB"))
        if not short:
            row = Row(f"{name}, base unknown", unknown / 1e3, "FastCDC + zstd", case.chunks_kb, ">= 1/1.2", "KB")
            rows.append(row)
    return rows


async def _known(base: Path, old: bytes, new: bytes) -> int:
    """Bytes of the step from the generation before."""
    async with resident(base, lambda home: _write(home, old)) as nodes:
        cost = await nodes.cost(lambda: _write(nodes.master.home, new), _has(len(new)))
    return cost.sent


async def _unknown(base: Path, old: bytes, new: bytes) -> int:
    """Bytes until a worker with a version of its own is in step, less those of a link on which all is well."""
    return await _first(base / "old", new, old) - await _first(base / "new", new, new)


async def _first(base: Path, new: bytes, held: bytes) -> int:
    async with resident(base, lambda home: _write(home, new), held=lambda home: _write(home, held)) as nodes:
        return nodes.relay.bytes


def _write(home: Path, content: bytes) -> None:
    (home / "tree").mkdir(exist_ok=True)
    fresh = home / "fresh"
    fresh.write_bytes(content)
    fresh.rename(home / _FILE)


def _has(size: int) -> Callable[[NodeProcess], bool]:
    return lambda worker: (worker.home / _FILE).stat().st_size == size


def _text(size: int, seed: int = 1) -> bytes:
    """Lines of some 150 bytes that compress as those of rules and logs do, and no two alike."""
    letters, random = Random(11), Random(seed)
    words = [bytes(letters.choices(b"abcdefghijklmnopqrstuvwxyz", k=letters.randrange(3, 10))) for _ in range(3_000)]
    lines, length = [], 0
    while length < size:
        line = b'<rule id="%d" level="%d">' % (random.getrandbits(32), random.randrange(16))
        line += b" ".join(random.choices(words, k=random.randrange(10, 22))) + b"</rule>\n"
        lines.append(line)
        length += len(line)
    return b"".join(lines)


def _one_line(old: bytes) -> bytes:
    at = old.find(b"\n", len(old) // 2) + 1
    return old[:at] + b"<rule>one line more</rule>\n" + old[at:]


def _some_lines(old: bytes) -> bytes:
    random = Random(13)
    lines = old.splitlines(keepends=True)
    for at in random.sample(range(len(lines)), len(lines) // 100):
        lines[at] = b'<rule id="%d">changed</rule>\n' % random.getrandbits(32)
    return b"".join(lines)


def _longer(old: bytes) -> bytes:
    return old + _text(len(old) // 100, seed=2)


_CASES = (
    Case("1 line in", 10_000_000, _one_line, 3.3 + 17.5),
    Case("1% of the lines of", 50_000_000, _some_lines, 5_030 + 90),
    Case("1% appended to", 50_000_000, _longer, 59 + 87),
    Case("a line before all of", 10_000_000, lambda old: b"<rule>the first</rule>\n" + old, 0.9 + 17.5),
)
