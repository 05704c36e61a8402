"""The home: one node at a time, and no leftovers."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from outrider.errors import SettingsError, StoreError
from outrider.store.home import Home, remove


def test_a_second_node_on_the_same_home_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first, second = Home(tmp_path), Home(tmp_path)
    first.open()
    with pytest.raises(SettingsError, match="another node runs on"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_home_that_is_no_folder_is_refused_with_the_key_s_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(SettingsError, match=r"node\.home"):
            Home(home).open()


def test_what_an_earlier_run_left_is_removed_but_the_local_socket_stays(tmp_path: Path) -> None:
    transfers = tmp_path / "queue" / "cluster"
    (transfers / "worker1" / "deep").mkdir(parents=True)
    (transfers / "worker1" / "deep" / "a.zip").write_bytes(b"x")
    (transfers / "stray").touch()
    (tmp_path / "precious").touch()
    (transfers / "link").symlink_to(tmp_path / "precious")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(transfers / "c-internal.sock"))
        home = Home(tmp_path)
        home.open()
        home.close()
    assert [path.name for path in transfers.iterdir()] == ["c-internal.sock"]
    assert (tmp_path / "precious").exists()


def test_transfers_of_a_worker_have_a_folder_of_their_own(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.open()
    assert home.open_transfers("worker1") == home.open_transfers("worker1") == tmp_path / "queue/cluster/worker1"
    assert home.transfers("worker1").stat().st_mode & 0o007 == 0
    home.close()


def test_a_home_that_cannot_be_prepared_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "queue").touch()
    home = Home(tmp_path)
    with pytest.raises(StoreError, match=r"queue.*check what it is, its owner and its mode"):
        home.open()
    home.close()


def test_a_home_that_cannot_be_emptied_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queue" / "cluster").mkdir(parents=True)
    left = tmp_path / "queue" / "cluster" / "left"
    left.touch()

    def refuse(path: Path, **_: bool) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(StoreError, match=f"cannot empty {left}: Operation not permitted"):
            Home(tmp_path).open()
    second = Home(tmp_path)
    second.open()
    second.close()
    assert not left.exists()


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert (tmp_path / "folder" / "file").exists()
    remove(tmp_path / "folder")
    assert not list(tmp_path.iterdir())
