"""A tree beside its last generation: of a master's store, of what a worker remembers, while a node has it open."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from outrider._native import Generations, ScanProgress
from outrider.errors import StoreError, SyncError
from outrider.settings import Settings
from outrider.store.tree import open_tree
from outrider.store.verifying import verify
from outrider.sync.generations import Known

FILES = {"etc/rules/a": b"a", "etc/rules/b": b"b", "etc/rules/sub/c": b"c"}
LAST_TICK_NS = 25_000_000


def settings_of(home: Path, table: str = '[{folder = "etc/rules/"}]') -> Settings:
    for path, content in FILES.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    settings = Settings.load(None, environ={}, overrides={"node.home": str(home), "tree.files": table})
    wait_for_clock(home)
    return settings


def wait_for_clock(home: Path) -> None:
    """Until a look at these files is late enough for the index to keep what it sees."""
    newest = max((home / path).stat().st_ctime_ns for path in FILES)
    probe = home / "probe"
    while not probe.exists() or probe.stat().st_ctime_ns <= newest + LAST_TICK_NS:
        probe.write_bytes(b"")


def make_generation(settings: Settings) -> Generations:
    tree = open_tree(settings)
    store = Generations(str(settings.node.home), count=4, max_bytes=1 << 20, lineage=bytes(16))
    store.add(tree, tree.scan().manifest, 1.0)
    return store


def take_generation(settings: Settings, number: int = 7) -> None:
    root = open_tree(settings).scan().manifest.root
    standing = settings.node.home / ".outrider/standing.json"
    standing.write_bytes(msgspec.json.encode(Known(lineage="00", number=number, root=root)))


def change(home: Path) -> None:
    (home / "etc/rules/a").write_bytes(b"A")
    (home / "etc/rules/b").unlink()
    (home / "etc/rules/new").write_bytes(b"new")


def test_a_masters_tree_is_its_latest_generation_until_somebody_changes_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    store = make_generation(settings)  # stays open, as beside a node that runs
    good = verify(settings)
    assert (good.same, good.exact, good.generation, good.files, good.root) == (True, True, 1, 3, store.latest().root)  # type: ignore[union-attr]
    change(tmp_path)
    bad = verify(settings)
    assert (bad.same, bad.exact) == (False, True)
    assert (bad.added, bad.changed, bad.deleted) == (["etc/rules/new"], ["etc/rules/a"], ["etc/rules/b"])
    assert [one.number for one in store.list()] == [1]


def test_a_worker_remembers_what_it_took_and_what_stat_hides_is_found(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    take_generation(settings)
    index = (tmp_path / ".outrider/index").read_bytes()
    assert verify(settings).same
    change(tmp_path)
    for _ in range(2):  # the first look has not made it forget
        bad = verify(settings)
        assert (bad.same, bad.exact, bad.generation) == (False, True, 7)
        assert (bad.added, bad.changed, bad.deleted) == (["etc/rules/new"], ["etc/rules/a"], ["etc/rules/b"])
    assert (tmp_path / ".outrider/index").read_bytes() == index


def test_a_worker_that_has_looked_since_says_that_it_cannot_tell_all(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    take_generation(settings)
    (tmp_path / "etc/rules/a").write_bytes(b"A")
    wait_for_clock(tmp_path)
    open_tree(settings).scan()
    seen = verify(settings)
    assert (seen.same, seen.exact, seen.changed) == (False, False, [])


def test_files_of_the_nodes_own_are_no_difference(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[{folder = "etc/rules/", extra_valid = true}]')
    take_generation(settings)
    (tmp_path / "etc/rules/own").write_bytes(b"mine")
    assert verify(settings).same


def test_what_became_a_link_is_named_with_its_reason_and_not_called_deleted(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    make_generation(settings)
    (tmp_path / "etc/rules/a").unlink()
    (tmp_path / "etc/rules/a").symlink_to("/etc/passwd")
    found = verify(settings)
    assert (found.same, found.deleted, [path for path, _ in found.left_out]) == (False, [], ["etc/rules/a"])


def test_the_record_that_was_written_last_counts(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    take_generation(settings)
    os.utime(tmp_path / ".outrider/standing.json", (1, 1))  # the clock of a file system ticks in milliseconds
    make_generation(settings).close()
    assert verify(settings).generation == 1
    os.utime(tmp_path / ".outrider/generations/last", (0, 0))
    assert verify(settings).generation == 7


def test_a_home_without_a_generation_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(SyncError, match="has no generation to compare its tree with: a master makes one"):
        verify(settings_of(tmp_path))


def test_threat_40_damaged_records_are_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    make_generation(settings).close()
    file = tmp_path / ".outrider/generations/1.generation"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SyncError, match="the latest generation is damaged; start the master"):
        verify(settings)
    (tmp_path / ".outrider/standing.json").write_bytes(b"{")
    with pytest.raises(StoreError, match=r"standing.json cannot be read .*: start the node"):
        verify(settings)


def test_whoever_watches_sees_every_file_of_as_many_as_the_generation_has(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    make_generation(settings)
    progress = ScanProgress()
    (tmp_path / "etc/rules/new").write_bytes(b"new")
    verify(settings, progress)
    assert (progress.files, progress.expected, progress.bytes) == (4, 3, 6)
