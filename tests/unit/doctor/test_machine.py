"""Room on the disk and watched folders, by real numbers of this machine and by those of a full one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.patients import patient, states

from outrider.doctor import machine


class Room:
    """A file system with little room."""

    def __init__(self, real: os.statvfs_result, free: int, inodes: int) -> None:
        self.f_frsize, self.f_files = 1, real.f_files or 1
        self.f_bavail, self.f_favail = free, inodes


@pytest.mark.parametrize(
    ("free", "inodes", "state"),
    [(1 << 40, 1 << 30, "good"), (70 << 20, 1 << 30, "warning"), (1 << 20, 1 << 30, "bad"), (1 << 40, 3, "bad")],
)
def test_the_disk_needs_room_for_the_tree_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, state: str
) -> None:
    looked = patient(tmp_path)
    with (tmp_path / "etc/rules/large").open("wb") as file:
        file.truncate(100 << 20)
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: Room(real, free, inodes))
    assert states(list(machine.disk(looked))) == [state]


def test_the_tree_is_counted_as_it_lies(tmp_path: Path) -> None:
    found = list(machine.disk(patient(tmp_path)))
    assert "the tree has 1 file of 0 MiB" in found[0].what


@pytest.mark.parametrize(("allowed", "state"), [("6", "good"), ("5", "warning"), ("2", "bad")])
def test_watched_folders_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str, state: str) -> None:
    (tmp_path / "limit").write_text(allowed)
    monkeypatch.setattr(machine, "_WATCHES", tmp_path / "limit")
    found = list(machine.watches(patient(tmp_path)))
    assert states(found) == [state]
    assert "3 folders" in found[0].what


def test_a_watch_that_is_off_is_said(tmp_path: Path) -> None:
    assert states(list(machine.watches(patient(tmp_path, watch__enabled="false")))) == ["warning"]
