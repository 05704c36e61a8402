"""The files table of the settings: its default, its two spellings, and the folders it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from outrider.errors import SettingsError
from outrider.settings import FileRow, Settings


def rows(value: Any) -> tuple[FileRow, ...]:
    return Settings.from_mapping({"tree.files": value}).tree.table()


def test_the_default_is_the_table_of_the_specification() -> None:
    tree = Settings.from_mapping({}).tree
    assert [
        (row.folder, row.names, row.permissions, row.recursive, row.restart, row.remove_subdirs_if_empty)
        for row in tree.table()
    ] == [
        ("etc/", ("client.keys",), 0o640, False, False, False),
        ("etc/shared/", None, 0o660, True, False, True),
        ("var/multigroups/", ("merged.mg",), 0o660, True, False, True),
        ("etc/rules/", None, 0o660, True, True, False),
        ("etc/decoders/", None, 0o660, True, True, False),
        ("etc/lists/", None, 0o660, True, True, False),
    ]
    assert not any(row.extra_valid for row in tree.table())
    assert tree.excluded_files == ("ar.conf", "ossec.conf")
    assert tree.excluded_extensions == ("~", ".tmp", ".lock", ".swp")


def test_a_table_by_folder_reads_like_a_list_of_rows() -> None:
    row = {"permissions": "0o640", "names": ["all"], "source": "master", "restart": True, "description": "x"}
    assert rows({"etc/x/": row}) == rows([{"folder": "etc/x/", **row}])
    assert rows({"etc/x/": row})[0].names is None
    assert rows({"etc/x/": row})[0].permissions == 0o640


def test_an_empty_table_keeps_nothing_in_step() -> None:
    assert rows([]) == ()


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "/",
        "/etc/",
        "etc",
        "../etc/",
        "etc/../../x/",
        "./",
        "etc//x/",
        "a\\b/",
        "C:/x/",
        "x" * 3000 + "/",
        ".outrider/",
        "etc/.outrider/x/",
        "queue/",
        "queue/cluster/",
        "queue/cluster/worker1/",
    ],
)
def test_threat_24_a_folder_that_leaves_the_home_or_is_the_node_s_own_is_refused(folder: str) -> None:
    with pytest.raises(SettingsError, match=r"tree\.files: folder"):
        rows([{"folder": folder}])


@pytest.mark.parametrize("folder", ["queue/clusters/", "etc/...x/", "t\u00e4st/", "a b/"])
def test_ordinary_folders_are_taken(folder: str) -> None:
    assert rows([{"folder": folder}])[0].folder == folder


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "missing required field"),
        ({"folder": "a/", "nams": []}, "unknown field nams"),
        ({"folder": "a/", "names": []}, "base names"),
        ({"folder": "a/", "names": ["x/y"]}, "base names"),
        ({"folder": "a/", "permissions": 0o4755}, "<= 511"),
        ({"folder": "a/", "permissions": 0o060}, "the owner must be able to read"),
        ({"folder": "a/", "permissions": "rw"}, "Expected int"),
        ("a/", "Expected object"),
    ],
)
def test_a_bad_row_says_what_is_wrong(row: Any, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        rows([row])


def test_a_folder_stands_there_once() -> None:
    with pytest.raises(SettingsError, match="stands there twice"):
        rows([{"folder": "a/"}, {"folder": "a/"}])


@pytest.mark.parametrize(("key", "value"), [("excluded_files", ["a/b"]), ("excluded_extensions", [""])])
def test_exclusions_that_would_exclude_too_much_or_nothing_are_refused(key: str, value: list[str]) -> None:
    with pytest.raises(SettingsError, match=f"tree.{key}"):
        Settings.from_mapping({f"tree.{key}": value})
