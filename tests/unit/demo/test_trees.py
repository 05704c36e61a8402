"""The demo's files: plain ones whose names travel, as many as were asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outrider.demo import trees


def test_what_does_not_travel_is_not_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / ".outrider").mkdir(parents=True)
    for name in ("a", "B", "b", "sub/c", "x\\y", "bell\a", "draft~", "sub/.outrider/lock"):
        (source / name).write_text(name)
    (Path(os.fsdecode(bytes(source) + b"/latin-\xe9"))).touch()
    (source / "link").symlink_to("a")
    assert trees.fill(tmp_path / "home", source, 0) == 3
    assert [str(file.relative_to(tmp_path / "home" / "tree")) for file in trees.files(tmp_path / "home")] == [
        "B",
        "a",
        "sub/c",
    ]


@pytest.mark.parametrize(("most", "copied"), [(0, 5), (3, 3), (5, 5), (9, 5)])
def test_as_many_as_were_asked_for(tmp_path: Path, most: int, copied: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in "abcde":
        (source / name).touch()
    assert trees.fill(tmp_path / "home", source, most) == copied == len(trees.files(tmp_path / "home"))
