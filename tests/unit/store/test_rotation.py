"""How far a rotation has come, on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import StoreError
from outrider.store.rotation import Gone, Rotation, read_rotation, write_rotation

ONE = Rotation(
    phase="window",
    new="0a",
    old=("0b", "0c"),
    began=1.5,
    window_s=60,
    anyway=True,
    until=61.5,
    gone=(Gone(id="0d", signs="ff" * 16, since=2),),
)


def test_it_is_read_as_it_was_written_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    (tmp_path / ".outrider").mkdir()
    assert read_rotation(tmp_path) is None
    write_rotation(tmp_path, ONE)
    assert read_rotation(tmp_path) == ONE
    assert (tmp_path / ".outrider" / "rotation.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [b"{}", b'{"x":' + b"[" * 3000])
def test_a_damaged_file_is_an_error_with_its_remedy(tmp_path: Path, text: bytes) -> None:
    (tmp_path / ".outrider").mkdir()
    (tmp_path / ".outrider" / "rotation.json").write_bytes(text)
    with pytest.raises(StoreError, match="remove it, and rotate the key once more"):
        read_rotation(tmp_path)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*rotation\.json"):
        write_rotation(tmp_path, ONE)
