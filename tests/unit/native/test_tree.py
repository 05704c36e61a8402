"""A tree scanned through the border: the recorded one, an odd one, and one that is not there."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from outrider._native import FileRule, FilesTable, Tree
from outrider.errors import Awaits, StoreError

VECTORS = Path(__file__).parents[2] / "vectors"


def wazuh_table() -> FilesTable:
    """The table of specification 4.4."""
    folders = ["etc/shared/", "etc/rules/", "etc/decoders/", "etc/lists/"]
    rules = [
        FileRule("etc/", names=["client.keys"], recursive=False, permissions=0o640),
        FileRule("var/multigroups/", names=["merged.mg"]),
        *(FileRule(folder) for folder in folders),
    ]
    return FilesTable(rules, excluded_files=["ar.conf", "ossec.conf"], excluded_suffixes=["~", ".tmp", ".lock", ".swp"])


def test_the_recorded_tree_scans_as_recorded(tmp_path: Path) -> None:
    with tarfile.open(VECTORS / "session-1-tree.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    home = tmp_path / "initial"
    scan = Tree(str(home), wazuh_table()).scan()
    recorded = json.loads((VECTORS / "integrity-1.json").read_text())
    ours = json.loads(scan.manifest.to_wire(str(home)))
    for path, entry in ours.items():
        assert entry.pop("mod_time") == (home / path).stat().st_mtime
        recorded[path].pop("mod_time")
    assert ours == recorded
    assert scan.problems == []
    assert scan.hashed == len(recorded)
    again = Tree(str(home), wazuh_table(), threads=1).scan()
    assert (again.hashed, again.bytes_hashed) == (0, 0)
    assert again.manifest == scan.manifest
    assert Tree(str(home), wazuh_table()).scan(rehash=True).hashed == len(recorded)


def test_threat_26_what_is_left_out_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "fifo")
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    scan = Tree(str(tmp_path), FilesTable([FileRule("a/")])).scan()
    assert len(scan.manifest) == 0
    assert [path for path, _ in scan.problems] == ["a/fifo", "a/link"]
    assert "FIFO" in scan.problems[0][1]
    assert "not followed" in scan.problems[1][1]


def test_a_home_that_is_not_there_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open .*nowhere") as raised:
        Tree(str(tmp_path / "nowhere"), FilesTable([FileRule("a/")])).scan()
    assert raised.value.awaits == Awaits("file", str(tmp_path / "nowhere")), "it is tried again when it appears"
