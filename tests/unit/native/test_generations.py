"""Generations and native manifests through the border; a process that dies while it adds loses no generation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.history import LARGE, TIGHT
from tests.faults.history import opened as opened_by_a_master
from tests.faults.history import tree as state_of

from outrider._native import FileRule, FilesTable, Generations, Manifest, ShortManifest, Tree
from outrider.errors import PeerError

LINEAGE = bytes(range(16))
ADDING = """
import sys
from pathlib import Path
from outrider._native import FileRule, FilesTable, Generations, Tree

home = Path(sys.argv[1])
tree = Tree(str(home), FilesTable([FileRule("tree/")]))
store = Generations(str(home), count=8, max_bytes=60_000, lineage=bytes(16))
while True:
    number = (store.latest().number if store.latest() else 0) + 1
    for name in range(20):
        (home / "tree" / str(name)).write_bytes(b"%d of %d;" % (name, number) * 999)
    added = store.add(tree, tree.scan(rehash=True).manifest, number)
    print(added.number, added.root, flush=True)
    store.sweep()
"""


FULL = """
import resource
import signal
import sys
from outrider._native import FileRule, FilesTable, Generations, Tree
from outrider.errors import StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tree = Tree(sys.argv[1], FilesTable([FileRule("tree/")]))
manifest = tree.scan().manifest
store = Generations(sys.argv[1], count=8, max_bytes=1 << 24, lineage=bytes(16))
for limit in range(100, 20_000, 400):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        store.add(tree, manifest, 1.0)
    except StoreError as error:
        assert "cannot write" in str(error), error
        assert store.list() == []
    else:
        print(limit)
        break
"""


def opened(home: Path) -> Generations:
    return Generations(str(home), count=8, max_bytes=60_000, lineage=LINEAGE)


def test_a_process_killed_while_it_adds_leaves_every_generation_that_it_told_of(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    roots: dict[int, str] = {}
    chance = Random(7)
    for _ in range(12):
        command = [sys.executable, "-c", ADDING, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as adding:
            assert adding.stdout is not None
            for _ in range(chance.randrange(1, 12)):
                number, root = adding.stdout.readline().split()
                roots[int(number)] = root
            adding.kill()
            for line in adding.stdout:
                number, root = line.split()
                roots[int(number)] = root
        store = opened(tmp_path)
        told = max(roots)
        latest = store.latest()
        # The one that was being added may have become whole before its number could be told.
        assert latest is not None
        assert latest.number in {told, told + 1}
        assert store.damaged == 0
        for generation in store.list():
            assert roots.setdefault(generation.number, generation.root) == generation.root
            manifest = store.manifest(generation.number)
            assert manifest is not None
            assert manifest.root == generation.root
        del store


def test_threat_33_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(Random(7).randbytes(9000))
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert 9000 < int(done.stdout) < 12_000
    assert sorted(path.name for path in (tmp_path / ".outrider" / "generations").iterdir()) == ["1.generation", "last"]
    assert [generation.number for generation in opened(tmp_path).list()] == [1]


def test_the_native_form_of_a_manifest_goes_there_and_back(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"one")
    tree = Tree(str(tmp_path), FilesTable([FileRule("tree/")]))
    manifest = tree.scan().manifest
    assert Manifest.from_native(manifest.to_native(), max_bytes=1000) == manifest
    reported = ShortManifest.from_native(manifest.to_native_short(), max_bytes=1000)
    assert (len(reported), "tree/a" in reported, "tree/b" in reported) == (1, True, False)
    assert reported.matches(manifest)
    (tmp_path / "tree" / "a").write_bytes(b"two")
    assert not reported.matches(tree.scan(rehash=True).manifest)
    with pytest.raises(PeerError, match="over the limit of 10"):
        Manifest.from_native(manifest.to_native(), max_bytes=10)
    with pytest.raises(PeerError, match="16 bytes"):
        Manifest.from_native(manifest.to_native_short(), max_bytes=1000)


@given(st.binary(max_size=200))
def test_threat_06_no_bytes_do_harm(data: bytes) -> None:
    for read in (Manifest.from_native, ShortManifest.from_native):
        with pytest.raises(PeerError):
            read(data, max_bytes=1 << 20)


def test_threat_32_contents_that_a_crash_left_twice_cost_room_once(tmp_path: Path) -> None:
    """The crash comes when the new file is there and the old ones are not removed yet."""
    store = opened_by_a_master(tmp_path, TIGHT)
    for word in ("first", "second", "third"):
        store.add(*state_of(tmp_path / "trees", word, LARGE), 1.0)
        store.sweep()
    store.add(*state_of(tmp_path / "trees", "fourth", LARGE), 1.0)
    folder = tmp_path / ".outrider/generations"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    store.sweep()
    store.close()
    gone = before.keys() - {file.name for file in folder.iterdir()}
    assert gone == {"1.pack", "2.generation"}
    for name in gone:
        (folder / name).with_suffix(".pack").write_bytes(before[name])
    store = opened_by_a_master(tmp_path, TIGHT)
    store.add(*state_of(tmp_path / "trees", "fifth", LARGE), 1.0)
    store.sweep()
    assert [one.number for one in store.list()] == [4, 5]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= TIGHT
