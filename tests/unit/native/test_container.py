"""The Python face of containers; what they hold is tested in Rust."""

import json
import zlib
from pathlib import Path

import pytest

from outrider._native import Manifest, pack_manifest, read_manifest
from outrider.errors import PeerError, StoreError

VECTORS = Path(__file__).parents[2] / "vectors"
RECORDED = VECTORS / "container-2-metadata-only.bin"


def recorded_json() -> bytes:
    name, stream = RECORDED.read_bytes().split(b"|//@@//|")
    assert name == b"files_metadata.json"
    return zlib.decompress(stream)


def test_a_recorded_check_is_read() -> None:
    assert read_manifest(str(RECORDED)) == (Manifest.from_wire(recorded_json()), [])


def test_a_check_of_ours_unpacks_to_the_same_json_as_the_recorded_one(tmp_path: Path) -> None:
    manifest, _ = read_manifest(str(RECORDED))
    packer = pack_manifest(manifest, "/home")
    with pytest.raises(RuntimeError, match="to its end"):
        packer.packed()
    container = b"".join(iter(lambda: packer.read(100), b""))
    assert packer.packed().size == len(container)
    assert packer.packed().left_out == []
    name, stream = container.split(b"|//@@//|")
    assert (name, stream[:2]) == (b"files_metadata.json", b"\x78\x01")
    assert zlib.decompress(stream) == manifest.to_wire("/home")
    (tmp_path / "container").write_bytes(container)
    assert read_manifest(str(tmp_path / "container"))[0] == manifest


def test_threat_24_a_name_that_no_plan_may_hold_is_left_out_and_named(tmp_path: Path) -> None:
    row = {"mod_time": 1.0, "cluster_item_key": "etc/", "merged": False, "hash": "ab" * 64}
    metadata = json.dumps(dict.fromkeys(("etc/good", "etc/back\\slash", "etc/\udce9", "../x"), row))
    (tmp_path / "container").write_bytes(b"files_metadata.json|//@@//|" + zlib.compress(metadata.encode()))
    manifest, unnameable = read_manifest(str(tmp_path / "container"))
    assert [entry.path for entry in manifest.entries()] == ["etc/good"]
    assert unnameable == [
        ("etc/back\\slash", "it holds a backslash"),
        ("etc/\\xed\\xb3\\xa9", "it is not UTF-8"),
        ("../x", "it holds a . or .. component"),
    ]


def test_a_closed_packer_gives_nothing() -> None:
    packer = pack_manifest(read_manifest(str(RECORDED))[0], "/home")
    packer.close()
    assert packer.read(100) == b""


def test_errors_say_whose_fault_it_is(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="over the limit of 100") as coded:
        read_manifest(str(RECORDED), max_bytes=100)
    assert coded.value.situation == "OUT-1304"
    (tmp_path / "bad").write_bytes(b"nonsense")
    with pytest.raises(PeerError, match="the container cannot be read") as coded:
        read_manifest(str(tmp_path / "bad"))
    assert coded.value.situation == "OUT-1306"
    with pytest.raises(StoreError, match="cannot open"):
        read_manifest(str(tmp_path / "absent"))
