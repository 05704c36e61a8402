"""Manifests and plans across the border: what Python reads is what the recordings say."""

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from outrider._native import FileRule, FilesTable, Manifest, Plan, diff
from outrider.errors import PeerError, SettingsError

VECTORS = Path(__file__).parents[2] / "vectors"
TABLE = FilesTable([FileRule("etc/shared/"), FileRule("etc/rules/", permissions=0o640)])


def metadata(path: str, content: bytes = b"", **changes: object) -> dict[str, object]:
    entry = {"mod_time": 1.5, "cluster_item_key": "etc/rules/", "merged": False, "hash": blake2b(content).hexdigest()}
    return {path: entry | changes}


def test_the_recorded_metadata_travels_through_unchanged() -> None:
    text = (VECTORS / "integrity-1.json").read_bytes()
    manifest = Manifest.from_wire(text)
    recorded = json.loads(text)
    assert json.loads(manifest.to_wire("/home")) == recorded
    assert [entry.path for entry in manifest.entries()] == sorted(recorded)
    entry = manifest.get("etc/client.keys")
    assert entry is not None
    assert entry.hash == recorded["etc/client.keys"]["hash"]
    assert (entry.mod_time, entry.rule) == (1700000000.0, "etc/")
    assert "etc/client.keys" in manifest
    assert "etc" not in manifest
    assert len(manifest) == len(recorded)


def test_the_recorded_comparison_is_ours() -> None:
    recorded = json.loads((VECTORS / "compare-1.json").read_text())
    master = Manifest.from_wire((VECTORS / "integrity-1.json").read_bytes())
    worker = Manifest.from_wire(json.dumps(recorded["worker"]).encode())
    plan = diff(master, worker, TABLE)
    assert json.loads(plan.to_wire()) == recorded["result"]
    assert plan.counts == (2, 3, 1)
    assert plan
    assert Plan.from_wire(plan.to_wire()) == plan
    assert hash(Plan.from_wire(plan.to_wire())) == hash(plan)
    assert hash(Plan.from_wire(b"{}")) != hash(plan)
    assert str(plan).splitlines()[0] == "2 missing, 3 shared, 1 extra"
    assert json.loads(plan.to_json())["extra"] == ["etc/lists/extra_on_worker"]
    assert not diff(master, master, TABLE)


def test_equal_manifests_have_equal_hashes_and_roots() -> None:
    text = json.dumps(metadata("etc/rules/é\x7f😀.xml", b"1")).encode()
    one, two = Manifest.from_wire(text), Manifest.from_wire(text)
    assert one == two
    assert hash(one) == hash(two)
    assert one.to_wire("/home") == text
    other = Manifest.from_wire(json.dumps(metadata("etc/rules/é\x7f😀.xml", b"2")).encode())
    assert other != one
    assert other.root != one.root
    assert len(one.root) == 128


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\0b", "a\\b", "C:x", "x" * 256])
def test_threat_24_a_bad_path_is_the_peers_error(path: str) -> None:
    with pytest.raises(PeerError, match="is refused") as coded:
        Manifest.from_wire(json.dumps(metadata(path)).encode())
    assert coded.value.situation == "OUT-1306"


def test_threat_24_twins_are_the_peers_error() -> None:
    twins = metadata("etc/rules/A") | metadata("etc/rules/a")
    with pytest.raises(PeerError, match="case"):
        Plan.from_wire(json.dumps({"missing": twins}).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b'{"a": 1}', b'{"a": {"hash": "00"}}', b"\xff", b'{"a": {}} x'])
def test_threat_07_what_is_no_metadata_is_the_peers_error(text: bytes) -> None:
    with pytest.raises(PeerError, match="cannot be read"):
        Manifest.from_wire(text)


@pytest.mark.parametrize("folder", ["etc/rules", "/etc/", "../x/", "etc/.outrider/"])
def test_a_row_that_cannot_work_is_an_error_of_the_settings(folder: str) -> None:
    with pytest.raises(SettingsError, match="folder"):
        FileRule(folder)


def test_a_folder_stands_in_the_table_once() -> None:
    with pytest.raises(SettingsError, match="twice") as coded:
        FilesTable([FileRule("etc/"), FileRule("etc/", recursive=False)])
    assert coded.value.situation == "OUT-1016"
