"""The settings file and its paths: what a stranger can get wrong has one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import SettingsError
from outrider.settings import Settings


def error_of(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(path, {})
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"there is no settings file {tmp_path / 'none.toml'}" in error_of(tmp_path / "none.toml")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in error_of(tmp_path)


def test_bad_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text("[node]\nname = \n", "utf-8")
    assert "line 2" in error_of(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "outrider.toml"
    path.write_bytes(b"# \xff\n")
    assert "not UTF-8 text (byte 2)" in error_of(path)


def test_a_wrong_type_names_file_key_and_example(tmp_path: Path) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text('[link]\nport = "1516"\n', "utf-8")
    assert error_of(path) == "link.port = '1516' (file outrider.toml): Expected int, got str; e.g. link.port = 1516"


def test_relative_paths_of_the_file_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text('[node]\nhome = "node"\n', "utf-8")
    monkeypatch.chdir("/")
    assert Settings.load(path, {}).node.home == tmp_path / "node"
    assert Settings.load(path, {}, {"node.home": "node"}).node.home == Path("/node")


@pytest.mark.parametrize("text", ["run/wdb", "/run/wdb"])
def test_the_socket_of_wazuh_db_starts_at_the_home_wherever_it_is_given(tmp_path: Path, text: str) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text(f'[agents]\nwazuh_db_socket = "{text}"\n', "utf-8")
    assert Settings.load(path, {}).agents.wazuh_db_socket == Path(text)
    assert Settings.load(None, {}, {"agents.wazuh_db_socket": text}).agents.wazuh_db_socket == Path(text)


def test_the_variable_that_names_the_file_is_no_setting() -> None:
    assert Settings.load(None, {"OUTRIDER_CONFIG": "/somewhere"}).warnings == ()


@pytest.mark.parametrize("variable", ["OUTRIDER_LINK_PORT", "OUTRIDER_PORT"])
def test_a_variable_that_is_not_quite_a_key_is_told(variable: str) -> None:
    settings = Settings.load(None, {variable: "2000"})
    assert settings.link.port == 1516
    assert settings.warnings == (f"{variable} is not read: did you mean OUTRIDER_LINK__PORT?",)
