"""The documentation of the settings says what the program does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from outrider.settings import FileRow, Settings
from outrider.settings.catalogue import CATALOGUE, Key
from outrider.settings.profiles import PROFILES
from outrider.settings.reload import AT_START, why_at_start

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "settings.md").read_text("utf-8")


def default_of(key: Key) -> str:
    if key.name == "tree.files":
        return "the six folders below"
    if key.default in {None, ""}:
        return ""
    if isinstance(key.default, Path):
        return f"`{key.default}`"
    if isinstance(key.default, float) and key.default.is_integer():
        return f"`{key.default:.0f}`"
    return f"`{msgspec.json.encode(key.default).decode().strip(chr(34))}`"


def row_of(key: Key) -> str:
    live = "yes" if why_at_start(key.name) is None else "start"
    return f"| `{key.name}` | {default_of(key)} | {live} | {key.meaning} |"


@pytest.mark.parametrize("key", CATALOGUE.values(), ids=lambda key: key.name)
def test_every_key_stands_in_the_reference_with_its_default_and_meaning(key: Key) -> None:
    assert row_of(key) in REFERENCE.splitlines()


def test_the_reference_lists_no_other_keys() -> None:
    rows = [line for line in REFERENCE.splitlines() if line.startswith("| `") and "." in line.split("`")[1]]
    assert {row.split("`")[1] for row in rows} - {row.folder for row in Settings.from_mapping({}).tree.files} == set(
        CATALOGUE
    )


def test_the_reference_says_why_each_of_the_others_waits_for_the_next_start() -> None:
    for name, why in AT_START.items():
        assert f"- `{name}`: {why}" in REFERENCE.splitlines()


def test_the_reference_names_each_part_of_a_row_and_each_default_folder() -> None:
    for name in FileRow.__struct_fields__:
        assert f"| `{name}` |" in REFERENCE
    for row in Settings.from_mapping({}).tree.files:
        assert f"| `{row.folder}` | `{row.permissions:#o}` |" in REFERENCE


def test_the_reference_lists_what_the_original_s_profile_changes() -> None:
    for key, value in PROFILES["wazuh-4.9"].items():
        assert f"- `{key} = {msgspec.json.encode(value).decode()}`" in REFERENCE


def test_the_example_file_is_valid_and_complete_for_both_roles(tmp_path: Path) -> None:
    text = (DOCS / "outrider.toml").read_text("utf-8")
    path = tmp_path / "outrider.toml"
    path.write_text(text, "utf-8")
    (tmp_path / "cluster.key").write_text("Zk3_" * 8, "ascii")
    (tmp_path / "cluster.key").chmod(0o600)
    settings = Settings.load(path, {}, {"node.home": str(tmp_path)})
    assert settings.warnings == ()
    assert settings.require("worker").require("master").node.name == "worker1"
