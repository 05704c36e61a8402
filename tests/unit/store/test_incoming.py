"""A file on its way in: whole with the right SHA-256, or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from outrider.errors import PeerError, StoreError
from outrider.store.incoming import IncomingFile


def opened(path: Path, max_bytes: int = 100) -> IncomingFile:
    file = IncomingFile(path, lambda: max_bytes)
    file.open()
    return file


def test_parts_become_a_file_if_the_sum_agrees(tmp_path: Path) -> None:
    file = opened(tmp_path / "a")
    file.write(b"one ")
    file.write(b"")
    file.write(b"two")
    assert file.finish(hashlib.sha256(b"one two").digest())
    file.discard()
    assert (tmp_path / "a").read_bytes() == b"one two"


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    assert opened(tmp_path / "a").finish(hashlib.sha256().digest())
    assert (tmp_path / "a").read_bytes() == b""


@pytest.mark.parametrize("wrong", [b"", b"\0" * 32, hashlib.sha256(b"on").digest()])
def test_a_file_with_another_sum_is_removed(tmp_path: Path, wrong: bytes) -> None:
    file = opened(tmp_path / "a")
    file.write(b"one")
    assert not file.finish(wrong)
    assert not (tmp_path / "a").exists()


def test_a_file_over_the_limit_is_given_up_and_stays_so(tmp_path: Path) -> None:
    file = opened(tmp_path / "a", max_bytes=3)
    file.write(b"123")
    with pytest.raises(StoreError, match=r"limits\.file_bytes"):
        file.write(b"4")
    assert not (tmp_path / "a").exists()
    with pytest.raises(PeerError, match="given up"):
        file.write(b"")
    assert not file.finish(hashlib.sha256(b"123").digest())


def test_opening_again_begins_anew(tmp_path: Path) -> None:
    file = opened(tmp_path / "a", max_bytes=4)
    file.write(b"old")
    file.open()
    file.write(b"new!")
    assert file.finish(hashlib.sha256(b"new!").digest())
    assert (tmp_path / "a").read_bytes() == b"new!"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="cannot receive a"):
        IncomingFile(tmp_path / "a", lambda: 100).open()
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_threat_33_a_full_disk_gives_the_file_up(tmp_path: Path) -> None:
    file = opened(tmp_path / "a")
    os.close(file._file)
    file._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StoreError, match="cannot write a: No space left on device"):
        file.write(b"x")
    assert not (tmp_path / "a").exists()
    with pytest.raises(PeerError, match="given up"):
        file.write(b"x")


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    file = opened(tmp_path / "queue" / "cluster" / "worker1" / "a")
    assert file.finish(hashlib.sha256().digest())
    assert file.path.exists()
    assert file.path.parent.stat().st_mode & 0o007 == 0
