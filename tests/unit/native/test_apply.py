"""Packing and applying across the border; what may go wrong is tested in Rust and by the kill tests."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from outrider._native import FileRule, FilesTable, Manifest, Tree, diff
from outrider.errors import PeerError, StoreError, SyncError

VECTORS = Path(__file__).parents[2] / "vectors"
TABLE = FilesTable(
    [
        FileRule("etc/", names=["client.keys"], recursive=False, permissions=0o640),
        FileRule("etc/shared/", remove_subdirs_if_empty=True),
        FileRule("etc/rules/"),
        FileRule("etc/decoders/"),
        FileRule("etc/lists/"),
    ]
)


def write(home: Path, files: dict[str, str]) -> Tree:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    return Tree(str(home), TABLE, threads=2)


def pack(source: Tree, target: Tree, to: Path) -> Path:
    plan = diff(source.scan().manifest, target.scan().manifest, TABLE)
    packer = source.pack(plan)
    to.write_bytes(b"".join(iter(lambda: packer.read(1 << 16), b"")))
    assert packer.packed().plan == plan
    return to


def test_a_tree_is_brought_in_step_and_its_next_scan_only_stats(tmp_path: Path) -> None:
    master = write(tmp_path / "master", {"etc/rules/a": "1", "etc/shared/x/b": "2", "etc/client.keys": "k"})
    worker = write(tmp_path / "worker", {"etc/rules/a": "0", "etc/shared/y/gone": "3"})
    applied = worker.apply(str(pack(master, worker, tmp_path / "container")))
    assert applied.plan.counts == (2, 1, 1)
    assert (applied.written, applied.deleted, applied.folders_removed, applied.bytes_written) == (3, 1, 1, 3)
    assert sorted(applied.seconds) == ["commit", "exchange", "sync", "unpack"]
    scan = worker.scan()
    assert scan.manifest.root == master.scan().manifest.root
    assert scan.hashed == 0
    assert not (tmp_path / "worker/etc/shared/y").exists()
    assert (tmp_path / "worker/etc/client.keys").stat().st_mode & 0o777 == 0o640
    assert worker.sweep() == 0
    assert worker.recover() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_applied_files_and_the_folders_made_for_them_have_the_owner_that_the_settings_name(tmp_path: Path) -> None:
    master = write(tmp_path / "master", {"etc/rules/a": "1", "etc/shared/x/b": "2"})
    home = tmp_path / "worker"
    write(home, {"etc/rules/a": "0", "etc/rules/kept": "3"})
    worker = Tree(str(home), TABLE, owner=(12345, 54321))
    worker.apply(str(pack(master, worker, tmp_path / "container")))

    def owner(name: str) -> tuple[int, int]:
        status = (home / name).stat()
        return status.st_uid, status.st_gid

    assert {owner(name) for name in ("etc/rules/a", "etc/shared", "etc/shared/x", "etc/shared/x/b")} == {(12345, 54321)}
    assert owner("etc/rules") == owner(".") == (os.geteuid(), os.getegid())


def test_the_recorded_container_is_applied_as_recorded(tmp_path: Path) -> None:
    worker = write(tmp_path / "home", {"etc/rules/gone.xml": "old"})
    applied = worker.apply(str(VECTORS / "container-1.bin"))
    recorded = json.loads((VECTORS / "container-1.json").read_text())
    assert applied.written == len(recorded["files"])
    for file in recorded["files"]:
        path = tmp_path / "home" / file["path"]
        assert sha256(path.read_bytes()).hexdigest() == file["sha256"]
        assert oct(path.stat().st_mode & 0o777) == file["mode"]
    assert not (tmp_path / "home/etc/rules/gone.xml").exists()


def test_errors_say_whose_fault_it_is_and_change_nothing(tmp_path: Path) -> None:
    master = write(tmp_path / "master", {"etc/rules/a": "1"})
    worker = write(tmp_path / "worker", {"etc/rules/b": "0"})
    container = pack(master, worker, tmp_path / "container")
    (tmp_path / "cut").write_bytes(container.read_bytes()[:-1])
    with pytest.raises(PeerError, match="cut short"):
        worker.apply(str(tmp_path / "cut"))
    with pytest.raises(StoreError, match="cannot open"):
        worker.apply(str(tmp_path / "absent"))
    (tmp_path / "worker/etc/rules/a/own").mkdir(parents=True)
    (tmp_path / "worker/etc/rules/a/own/file").touch()
    with pytest.raises(SyncError, match="not empty") as coded:
        worker.apply(str(container))
    assert coded.value.situation == "OUT-1502"
    with pytest.raises(PeerError, match="over the limit"):
        Tree(str(tmp_path / "worker"), TABLE, max_total_bytes=1).apply(str(container))
    assert (tmp_path / "worker/etc/rules/b").read_text() == "0"


def test_a_packer_keeps_the_limit_and_says_what_waits(tmp_path: Path) -> None:
    master = write(tmp_path / "master", {"etc/rules/a": "1", "etc/rules/b": "2" * 1000})
    plan = diff(master.scan().manifest, Manifest.from_wire(b"{}"), TABLE)
    packer = master.pack(plan, limit=500)
    while packer.read(100):
        pass
    packed = packer.packed()
    assert [entry.path for entry in packed.plan.missing] == ["etc/rules/a"]
    assert [path for path, _ in packed.left_out] == ["etc/rules/b"]
