"""Intervals and the files table, by our names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from outrider.settings import Settings
from outrider.settings.catalogue import CATALOGUE
from outrider.wazuh.cluster_json import LARGEST, FromJson, read_cluster_json


def read(value: Any) -> FromJson:
    return read_cluster_json(json.dumps(value).encode())


def test_every_interval_of_ours_is_read_under_its_own_name() -> None:
    known = {name: key.default for name, key in CATALOGUE.items() if name.startswith("intervals.")}
    intervals: dict[str, dict[str, Any]] = {}
    for name, value in known.items():
        _, group, last = name.split(".")
        intervals.setdefault(group, {})[last] = value
    found = read({"intervals": intervals})
    assert found.values == known
    assert [what for what, _ in found.lost] == ["intervals.worker.sync_agent_groups"]


def test_the_table_keeps_rows_and_exclusions() -> None:
    row = {"permissions": "0o640", "source": "master", "files": ["a", "b"], "recursive": False, "extra_valid": True}
    found = read({"files": {"etc/x/": row, "excluded_files": ["c"], "excluded_extensions": [".d"]}})
    settings = Settings.from_mapping(found.values)
    assert [(one.folder, one.names, one.permissions, one.recursive) for one in settings.tree.files] == [
        ("etc/x/", ("a", "b"), 0o640, False)
    ]
    assert (settings.tree.excluded_files, settings.tree.excluded_extensions) == (("c",), (".d",))


def test_what_has_no_equivalent_is_named() -> None:
    found = read(
        {
            "more": 1,
            "intervals": {"worker": {"new": 1}, "distributed_api": {"enabled": True}},
            "files": {"etc/": {"files": ["all"], "new": 1}},
            "distributed_api": {"enabled": False, "new": 1},
        }
    )
    assert [what for what, _ in found.lost] == [
        "more",
        "intervals.worker.new",
        "files.etc/.new",
        "distributed_api.enabled",
        "distributed_api.new",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "the file is no object"),
        (b'{"intervals": 1}', "intervals is no object"),
        (b'{"intervals": {"worker": []}}', "intervals.worker is no object"),
        (b'{"files": {"etc/": 1}}', "files.etc/ is no object"),
        (b'{"files": {}}', "files names no folder"),
        (b"[" * 100_000, "nested too deep"),
        (b" " * (LARGEST + 1), "larger than"),
    ],
)
def test_what_cannot_be_read_is_told(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_cluster_json(content)
