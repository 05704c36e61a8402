"""The cluster keys of a node that runs, and their file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outrider.errors import StoreError
from outrider.exchange.keys import Keys
from outrider.settings import ClusterKey, Live, Settings
from outrider.settings.key import key_id
from outrider.settings.key_file import read_key_file
from outrider.world import ThreadPool

OLD, NEW = ClusterKey("a" * 32), ClusterKey("b" * 32)


def key_file(folder: Path, *keys: ClusterKey, mode: int = 0o640) -> Path:
    file = folder / "cluster.key"
    file.write_bytes(b"".join(bytes(key) + b"\n" for key in keys))
    file.chmod(mode)
    return file


def keys_of(file: Path) -> Keys:
    return Keys(Live(Settings.from_mapping({"link.key_file": str(file)})), ThreadPool())


def test_keys_are_in_the_file_with_its_mode_before_the_ring_has_them(tmp_path: Path) -> None:
    file = key_file(tmp_path, OLD)
    keys = keys_of(file)
    asyncio.run(keys.keep([NEW, OLD]))
    assert read_key_file(file) == keys.held == [NEW, OLD]
    assert keys.ids == (key_id(NEW), key_id(OLD))
    assert file.stat().st_mode & 0o777 == 0o640
    assert keys.cannot == ""


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    file = key_file(tmp_path, OLD)
    link = tmp_path / "link.key"
    link.symlink_to(file)
    asyncio.run(keys_of(link).keep([NEW]))
    assert link.is_symlink()
    assert read_key_file(file) == [NEW]


def test_a_file_that_cannot_be_written_leaves_the_ring_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = key_file(folder, OLD)
    keys = keys_of(file)
    file.unlink()
    folder.rmdir()
    with pytest.raises(StoreError, match=r"cannot write the key file .*No such file"):
        asyncio.run(keys.keep([NEW]))
    assert keys.held == [OLD]


def test_a_key_of_the_settings_is_used_and_never_changed() -> None:
    keys = Keys(Live(Settings.from_mapping({"link.key": bytes(OLD).decode()})), ThreadPool())
    assert "link.key_file" in keys.cannot
    with pytest.raises(StoreError, match=r"link\.key_file"):
        asyncio.run(keys.keep([NEW]))
    assert asyncio.run(keys.read_again()) is False
    assert keys.held == [OLD]


def test_what_a_person_puts_into_the_file_is_used_if_it_is_good(tmp_path: Path) -> None:
    file = key_file(tmp_path, OLD)
    keys = keys_of(file)
    assert asyncio.run(keys.read_again()) is False
    key_file(tmp_path, NEW)
    assert asyncio.run(keys.read_again()) is True
    assert keys.held == [NEW]
    file.write_text("half a ke")
    assert asyncio.run(keys.read_again()) is False
    assert keys.held == [NEW]
