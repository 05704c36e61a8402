"""The recorded scan, comparison and containers, through the native core."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from stat import S_IMODE
from typing import Any

from tests.recordings.nodes import settings
from tests.recordings.vectors import VECTORS, container_meaning, pack, synced_files, unpack_tree

from outrider._native import Manifest, Packer, Tree, diff, pack_manifest, read_manifest
from outrider.store.tree import files_table, open_tree

CONTAINER: dict[str, Any] = json.loads((VECTORS / "container-1.json").read_text())
LIMITED: dict[str, Any] = json.loads((VECTORS / "container-3-limited.json").read_text())


def without_times(metadata: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {path: {key: value for key, value in row.items() if key != "mod_time"} for path, row in metadata.items()}


def tree(home: Path, part: str | None = None) -> Tree:
    if part:
        unpack_tree(part, home)
    return open_tree(settings(home, "worker01"))


def read(packer: Packer) -> bytes:
    parts = []
    while part := packer.read(10_000):
        parts.append(part)
    return b"".join(parts)


def test_the_scan_is_the_recorded_one(tmp_path: Path) -> None:
    recorded = json.loads((VECTORS / "integrity-1.json").read_text())
    scan = tree(tmp_path, "initial").scan()
    assert without_times(json.loads(scan.manifest.to_wire(str(tmp_path)))) == without_times(recorded)


def test_the_comparison_is_the_recorded_one(tmp_path: Path) -> None:
    recorded = json.loads((VECTORS / "compare-1.json").read_text())
    master = Manifest.from_wire((VECTORS / recorded["master"]).read_bytes())
    worker = Manifest.from_wire(json.dumps(recorded["worker"]).encode())
    plan = diff(master, worker, files_table(settings(tmp_path, "master01")))
    assert json.loads(plan.to_wire()) == recorded["result"]


def test_the_recorded_container_unpacks_to_its_members(tmp_path: Path) -> None:
    home = tree(tmp_path)
    for path in CONTAINER["extra"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("too many")
    container = tmp_path / "container.zip"
    container.write_bytes((VECTORS / "container-1.bin").read_bytes())
    applied = home.apply(str(container))
    assert (applied.written, applied.deleted) == (len(CONTAINER["files"]), len(CONTAINER["extra"]))
    for row in CONTAINER["files"]:
        file = tmp_path / row["path"]
        data = file.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["size"], row["sha256"])
        assert oct(S_IMODE(file.stat().st_mode)) == row["mode"]
    assert synced_files(tmp_path).keys() == {row["path"] for row in CONTAINER["files"]}


def test_what_we_pack_unpacks_to_the_same(tmp_path: Path) -> None:
    home = tree(tmp_path, "initial")
    members, metadata = container_meaning((VECTORS / "container-1.bin").read_bytes())
    gone = {path: CONTAINER["ko_files"]["extra"][path] for path in metadata["extra"]}
    shared = {path: row | {"hash": "0" * 128} for path, row in CONTAINER["ko_files"]["shared"].items()}
    worker = Manifest.from_wire(json.dumps(gone | shared).encode())
    plan = diff(home.scan().manifest, worker, files_table(settings(tmp_path, "master01")))
    assert container_meaning(read(home.pack(plan))) == (members, metadata)


def test_the_container_of_a_check_is_read_and_written(tmp_path: Path) -> None:
    recorded = VECTORS / "container-2-metadata-only.bin"
    manifest, _ = read_manifest(str(recorded))
    assert container_meaning(read(pack_manifest(manifest, str(tmp_path)))) == container_meaning(recorded.read_bytes())
    assert manifest == tree(tmp_path, "initial").scan().manifest


def test_a_limited_container_drops_what_the_recorded_one_dropped(tmp_path: Path) -> None:
    members, metadata = container_meaning((VECTORS / "container-3-limited.bin").read_bytes())
    assert members.keys() == metadata["missing"].keys() == {*LIMITED["kept"]}
    home = tree(tmp_path, "initial")
    plan = diff(home.scan().manifest, Manifest.from_wire(b"{}"), files_table(settings(tmp_path, "master01")))
    packer = home.pack(plan, limit=LIMITED["max_zip_size"])
    ours, ours_metadata = container_meaning(read(packer))
    # 4.9.2 packs in the order of a set, we by path, which is the order that was recorded.
    assert LIMITED["order_given"] == sorted(LIMITED["order_given"])
    assert (ours, ours_metadata) == (members, metadata)
    left = {path for path, _ in packer.packed().left_out}
    assert left == {*LIMITED["order_given"]} - {*LIMITED["kept"]}


def test_merged_entries_of_an_old_peer_are_read(tmp_path: Path) -> None:
    content = b"text"
    row = {
        "mod_time": 1.5,
        "cluster_item_key": "etc/shared/",
        "merged": True,
        "merge_type": "TYPE",
        "merge_name": "/var/ossec/etc/shared/a.merged",
        "hash": hashlib.blake2b(content).hexdigest(),
    }
    entries = {"etc/shared/a.merged": row}
    container = tmp_path / "check.zip"
    container.write_bytes(pack({}, entries))
    manifest, _ = read_manifest(str(container))
    assert [entry.path for entry in manifest.entries()] == ["etc/shared/a.merged"]
    container.write_bytes(pack({"etc/shared/a.merged": content}, {"missing": entries, "extra": {}, "shared": {}}))
    tree(tmp_path).apply(str(container))
    assert (tmp_path / "etc/shared/a.merged").read_bytes() == content


def test_an_empty_worker_says_so(tmp_path: Path) -> None:
    container = tmp_path / "check.zip"
    container.write_bytes(b"files_metadata.json|//@@//|x\x01\xab\xae\x05\x00\x01u\x00\xf9")
    assert len(read_manifest(str(container))[0]) == 0
    assert container_meaning(read(pack_manifest(tree(tmp_path).scan().manifest, str(tmp_path)))) == ({}, {})
