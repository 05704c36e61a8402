"""A small file is the old or the new one, whatever happens."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outrider.errors import StoreError
from outrider.store import whole
from outrider.store.whole import alone, write_whole


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a"
    write_whole(file, b"one", 0o600)
    first = file.stat()
    write_whole(file, b"two", 0o600)
    assert file.read_bytes() == b"two"
    assert file.stat().st_ino != first.st_ino
    assert stat.S_IMODE(first.st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_threat_33_a_disk_that_refuses_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    write_whole(file, b"one", 0o600)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"two", 0o600)
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays_who_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a"
    os.chown(tmp_path, 1234, 2345)
    write_whole(file, b"one", 0o600)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 2345)
    os.chown(file, 99, 98)
    write_whole(file, b"two", 0o600)
    assert (file.stat().st_uid, file.stat().st_gid) == (99, 98)


def test_what_a_crash_left_of_an_earlier_try_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / ".a.outrider-x1y2"
    others = {tmp_path / name for name in (".a.swp", ".b.outrider-x1y2", "a.outrider-x1y2", ".a.b.outrider-x1y2")}
    for path in {left, *others}:
        path.write_bytes(b"half")
    write_whole(tmp_path / "a", b"one", 0o600)
    assert set(tmp_path.iterdir()) == {tmp_path / "a", *others}


def test_threat_46_a_folder_that_another_program_holds_is_waited_for_so_long_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_PATIENCE_S", 0.05)
    with alone(tmp_path), pytest.raises(StoreError, match=r"another program has held .* locked"), alone(tmp_path):
        pass
    with alone(tmp_path):  # it was given back
        pass


def test_who_waits_for_a_folder_has_it_when_it_is_free(tmp_path: Path) -> None:
    tried = threading.Event()

    def wait() -> None:
        tried.set()
        with alone(tmp_path):
            pass

    with ThreadPoolExecutor(1) as pool:
        with alone(tmp_path):
            waiting = pool.submit(wait)
            tried.wait()
        waiting.result()
