"""The folder of files that programs send: nothing outside of it is read or written, whatever lies in the way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from outrider.errors import StoreError
from outrider.protocol.bodies import SharedPath
from outrider.settings import Settings
from outrider.store.shared import SharedFolder

SECRET = b"secret"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a shared folder, beside something that is none of it."""
    home = tmp_path / "home"
    (home / "tmp/inner").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a").write_bytes(SECRET)
    return home


def read(folder: SharedFolder, path: bytes) -> bytes:
    file = folder.open(folder.path(path))
    try:
        return b"".join(iter(lambda: file.read(4), b""))
    finally:
        file.close()


def test_files_are_read_and_taken_at_the_same_path(home: Path) -> None:
    folder = SharedFolder(home, "tmp/")
    (home / "arrived").write_bytes(b"new content")
    folder.take(home / "arrived", folder.path(b"/tmp/inner/a"))
    assert (home / "tmp/inner/a").read_bytes() == b"new content"
    assert not (home / "arrived").exists()
    assert read(folder, b"/tmp/inner/a") == b"new content"


def _link_to_a_file(home: Path) -> None:
    (home / "tmp/a").symlink_to(home.parent / "outside/a")


def _link_to_a_folder(home: Path) -> None:
    (home / "tmp/inner").rmdir()
    (home / "tmp/inner").symlink_to(home.parent / "outside")


def _link_at_the_top(home: Path) -> None:
    (home / "tmp/inner").rmdir()
    (home / "tmp").rmdir()
    (home / "tmp").symlink_to(home.parent / "outside")


@pytest.mark.parametrize(
    ("lay", "path"),
    [
        (_link_to_a_file, b"/tmp/a"),
        (_link_to_a_folder, b"/tmp/inner/a"),
        (_link_at_the_top, b"/tmp/a"),
        (lambda home: os.mkfifo(home / "tmp/a"), b"/tmp/a"),
        (lambda _: None, b"/tmp/inner"),
        (lambda _: None, b"/tmp/absent"),
        (lambda _: None, b"/tmp/absent/a"),
    ],
)
def test_threat_26_links_fifos_and_folders_are_not_sent(home: Path, lay: Callable[[Path], None], path: bytes) -> None:
    lay(home)
    with pytest.raises(StoreError, match="cannot read tmp/"):
        read(SharedFolder(home, "tmp/"), path)


@pytest.mark.parametrize("lay", [_link_to_a_folder, _link_at_the_top])
def test_threat_25_nothing_is_written_through_a_link(home: Path, lay: Callable[[Path], None]) -> None:
    lay(home)
    (home / "arrived").write_bytes(b"evil")
    folder = SharedFolder(home, "tmp/")
    path = b"/tmp/inner/a" if (home / "tmp").is_dir() and not (home / "tmp").is_symlink() else b"/tmp/a"
    with pytest.raises(StoreError, match="cannot write tmp/"):
        folder.take(home / "arrived", folder.path(path))
    assert (home.parent / "outside/a").read_bytes() == SECRET


def test_a_link_in_a_file_s_place_is_replaced_and_not_followed(home: Path) -> None:
    _link_to_a_file(home)
    (home / "arrived").write_bytes(b"new")
    folder = SharedFolder(home, "tmp/")
    folder.take(home / "arrived", folder.path(b"/tmp/a"))
    assert not (home / "tmp/a").is_symlink()
    assert (home.parent / "outside/a").read_bytes() == SECRET


def test_threat_25_a_folder_that_becomes_a_link_again_and_again_leads_nowhere(home: Path) -> None:
    folder = SharedFolder(home, "tmp/")
    (home / "tmp/inner/a").write_bytes(b"ours")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (home / "tmp/inner").rename(home / "tmp/aside")
            (home / "tmp/inner").symlink_to(home.parent / "outside")
            (home / "tmp/inner").unlink()
            (home / "tmp/aside").rename(home / "tmp/inner")

    swapping = threading.Thread(target=swap)
    swapping.start()
    refused = 0
    try:
        for _ in range(3000):
            try:
                assert read(folder, b"/tmp/inner/a") == b"ours"
            except StoreError:
                refused += 1
    finally:
        over.set()
        swapping.join()
    assert refused > 0


def test_without_a_setting_there_is_no_such_folder(home: Path) -> None:
    assert SharedFolder.of(Settings.from_mapping({"node.home": str(home)})) is None
    folder = SharedFolder.of(Settings.from_mapping({"node.home": str(home), "local.send_folder": "tmp/"}))
    assert folder is not None
    assert folder.path(b"/tmp/a") == SharedPath(("tmp",), "a")
    assert (folder.holds(b"/tmp/../etc/a"), folder.holds(b"/tmpfs/a"), folder.holds(b"tmp/a")) == (True, False, False)
