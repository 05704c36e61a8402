"""Trees that few people have: empty files and folders, holes, many files in one folder, files that nobody may read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import Node, free_port, nodes, wait_until

MANY = 20_000
HOLE = 96 << 20
"""More than any ratio would let pass: one file may be a hole from end to end."""


def test_threat_38_empty_files_many_files_holes_and_mode_000_converge(tmp_path: Path) -> None:
    port = free_port()
    master, worker = (Node(role, tmp_path / role, port=port) for role in ("master", "worker"))
    tree = master.home / "tree"
    (tree / "many").mkdir()
    (tree / "empty/folder").mkdir(parents=True)
    for number in range(MANY):
        (tree / f"many/{number}").write_bytes(b"" if number % 2 else b"%d" % number)
    master.write("closed", b"nobody may read this but the node")
    (tree / "closed").chmod(0)
    with (tree / "hole").open("wb") as file:
        file.truncate(HOLE)
        file.seek(HOLE // 2)
        file.write(b"in the middle")
    with nodes(master, worker):
        wait_until(lambda: (worker.home / "tree/hole").exists() and len(worker.tree()) == MANY + 2)
        assert worker.tree() == master.tree()
        assert not (worker.home / "tree/empty").exists(), "folders come with their files"


@pytest.mark.parametrize(
    ("limits", "hit", "holes"),
    [
        ({"unpacked_file_bytes": 1 << 20}, "unpacked_file_bytes", [1 << 24]),
        ({"unpacked_file_bytes": 80 << 20}, "unpacked_ratio", [80 << 20, 80 << 20]),
    ],
)
def test_threat_38_what_is_beyond_a_limit_is_refused_clearly_until_it_is_small_enough(
    tmp_path: Path, limits: dict[str, Any], hit: str, holes: list[int]
) -> None:
    port = free_port()
    master = Node("master", tmp_path / "master", port=port)
    worker = Node("worker", tmp_path / "worker", port=port, **limits)
    master.write("fine", b"fine")
    for number, size in enumerate(holes):
        with (master.home / f"tree/hole{number}").open("wb") as file:
            file.truncate(size)
    with nodes(master, worker):
        wait_until(lambda: worker.said(rf"limits\.{hit}") > 0)
        assert worker.tree() == {}
        master.write("hole0", b"small")
        wait_until(lambda: worker.tree() == master.tree())
