"""What a worker took last survives a restart; a file that cannot be read says why, and then nothing is known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outrider.errors import StoreError
from outrider.store.standing import Standing
from outrider.sync.generations import Known
from outrider.world import ThreadPool

KNOWN = Known(lineage="ab" * 16, number=7, root="cd" * 64, bad={"ef" * 64: "the check failed"}, approved="01" * 64)


def opened(home: Path) -> Standing:
    standing = Standing(home, ThreadPool(1))
    asyncio.run(standing.open())
    return standing


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / ".outrider").mkdir()
    first = opened(tmp_path)
    assert (first.known, first.damaged) == (Known(), "")
    asyncio.run(first.keep(KNOWN))
    assert first.known == KNOWN
    assert opened(tmp_path).known == KNOWN
    assert (tmp_path / ".outrider/standing.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": -1}', '{"number": "x"}', "\x00", '{"x":' + "[" * 3000])
def test_threat_40_a_damaged_file_is_told_and_nothing_is_known(tmp_path: Path, text: str) -> None:
    (tmp_path / ".outrider").mkdir()
    (tmp_path / ".outrider/standing.json").write_text(text)
    standing = opened(tmp_path)
    assert standing.known == Known()
    assert standing.damaged


def test_threat_33_a_disk_that_refuses_leaves_what_was(tmp_path: Path) -> None:
    standing = opened(tmp_path)  # its folder is absent
    with pytest.raises(StoreError, match="cannot remember the generation"):
        asyncio.run(standing.keep(KNOWN))
    assert standing.known == Known()
