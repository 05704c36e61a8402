"""The cluster key: what is refused, what is only warned about, and that it never shows."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from random import Random

import pytest

from outrider.codes import Code
from outrider.errors import SettingsError
from outrider.settings import ClusterKey, Settings
from outrider.settings.key import key_id, make_key

KEY = "Zk3_" * 8
OLD = "0ld_" * 8


@pytest.mark.parametrize(
    "text", ["", "short", KEY + "x", KEY[:-1] + "-", KEY[:-1] + " ", KEY[:-1] + "\u00e9", KEY[:-1] + "\n"]
)
def test_threat_12_a_key_that_is_not_32_word_characters_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(None, {}, {"link.key": text})
    assert str(caught.value).startswith("link.key (flag)")
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("text", ["0123456789abcdef" * 2, "0123456789AbCdEf" * 2, "0123456789ABCDEF" * 2, "7" * 32])
def test_threat_12_hex_digits_only_give_a_warning_that_says_why(text: str) -> None:
    (warning,) = Settings.load(None, {}, {"link.key": text}).warnings
    assert "hex digits only" in warning
    assert "128 bits" in warning


def test_threat_12_a_good_key_gives_no_warning() -> None:
    assert Settings.load(None, {}, {"link.key": KEY}).warnings == ()


def test_a_key_is_never_shown() -> None:
    settings = Settings.load(None, {}, {"link.key": KEY, "link.previous_keys": OLD})
    for text in (repr(settings), str(settings), repr(settings.describe()), f"{settings.link.key}"):
        assert KEY not in text
        assert OLD not in text


def test_the_ring_begins_with_the_key_and_holds_each_once() -> None:
    link = Settings.from_mapping({"link": {"key": KEY, "previous_keys": [OLD, KEY]}}).link
    assert link.keys == [KEY.encode(), OLD.encode()]
    assert Settings.from_mapping({}).link.keys == []


def test_previous_keys_alone_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"no link\.key that replaced them"):
        Settings.from_mapping({"link.previous_keys": [OLD]})
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"link": {"key": "short", "previous_keys": [OLD]}})
    assert "link.previous_keys" not in str(caught.value)


def test_a_key_file_gives_the_key_and_its_predecessors(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n\n{OLD}\n", "ascii")
    path.chmod(0o600)
    settings = Settings.from_mapping({"link.key_file": str(path)})
    assert settings.link.keys == [KEY.encode(), OLD.encode()]
    assert settings.warnings == ()
    assert {line.key: line.origin for line in settings.describe()}["link.key"] == "link.key_file"


def test_a_key_file_that_everyone_may_read_gives_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY, "ascii")
    path.chmod(0o644)
    (warning,) = Settings.from_mapping({"link.key_file": str(path)}).warnings
    assert f"chmod 600 {path}" in warning


def test_a_settings_file_with_the_key_that_everyone_may_read_gives_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text(f'link.key = "{KEY}"\n', "ascii")
    path.chmod(0o644)
    (warning,) = Settings.load(path, {}).warnings
    assert "every user may read it" in warning


def test_a_settings_file_that_everyone_may_change_is_refused_and_nothing_of_a_running_node_changes(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    path = folder / "outrider.toml"
    path.write_text("node.name = 'one'\n", "ascii")
    settings = Settings.load(path, {})
    for opened, mode, remedy in ((path, 0o666, f"chmod o-w {path}"), (folder, 0o777, f"chmod o-w {folder}")):
        before = opened.stat().st_mode
        opened.chmod(mode)
        for load in (partial(Settings.load, path, {}), settings.again):
            with pytest.raises(SettingsError, match=re.escape(remedy)) as caught:
                load()
            assert str(caught.value).startswith(f"settings file {path}: every user may")
            assert caught.value.situation == Code.SETTINGS_FILE
        opened.chmod(before)
    folder.chmod(0o1777)
    assert settings.again().node.name == "one", "of a sticky folder nobody can take what is not his"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "it is empty"),
        (b"\xff\xfe", "not text"),
        (b"\nshort\n", "line 2: it has 5 characters"),
    ],
)
def test_a_bad_key_file_is_told_in_one_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"link.key_file": str(path)})
    (line,) = str(caught.value).splitlines()
    assert reason in line


def test_key_and_key_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="keep one of them"):
        Settings.from_mapping({"link.key": KEY, "link.key_file": str(tmp_path / "key")})


def test_equal_keys_are_equal() -> None:
    assert ClusterKey(KEY) == ClusterKey(KEY)
    assert len({ClusterKey(KEY), ClusterKey(KEY), ClusterKey(OLD)}) == 2


def test_a_credential_of_systemd_is_read_as_a_key_file_is_where_no_key_is_set(tmp_path: Path) -> None:
    for name in ("outrider.key", "another"):
        (tmp_path / name).write_text(f"{KEY if name == 'another' else OLD}\n", "ascii")
        (tmp_path / name).chmod(0o400)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    settings = Settings.load(None, environ)
    assert settings.link.keys == [OLD.encode()]
    assert {line.key: line.origin for line in settings.describe()}["link.key"] == "link.key_credential"
    named = Settings.load(None, environ, {"link.key_credential": "another"})
    assert named.link.keys == [KEY.encode()]
    assert Settings.load(None, environ, {"link.key": KEY}).link.keys == [KEY.encode()]
    assert Settings.load(None, {}).link.keys == []


def test_a_credential_that_was_named_and_is_not_there_is_told_with_the_line_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LoadCredential=nowhere:/etc/outrider/key"):
        Settings.load(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, {"link.key_credential": "nowhere"})
    with pytest.raises(SettingsError, match=r"link\.key_credential = '\.\./key'"):
        Settings.load(None, {}, {"link.key_credential": "../key", "link.key": KEY})


@pytest.mark.parametrize("mode", [0o602, 0o606, 0o666])
def test_a_key_file_that_others_may_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(KEY, "ascii")
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"every user may change it.*chmod 600 {path}"):
        Settings.from_mapping({"link.key_file": str(path)})


@pytest.mark.parametrize("linked", [False, True])
def test_threat_12_a_key_file_in_whose_place_everybody_may_put_another_is_refused(tmp_path: Path, linked: bool) -> None:
    folder = tmp_path / "open"
    (folder / "deep").mkdir(parents=True)
    path = folder / "deep/key"
    if linked:
        (tmp_path / "key").write_text(KEY, "ascii")
        (tmp_path / "key").chmod(0o600)
        path.symlink_to(tmp_path / "key")
    else:
        path.write_text(KEY, "ascii")
        path.chmod(0o600)
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match=f"every user may put another in its place: chmod o-w {folder}"):
        Settings.from_mapping({"link.key_file": str(path)})
    folder.chmod(0o1777)  # as /tmp: each his own
    assert Settings.from_mapping({"link.key_file": str(path)}).link.keys == [KEY.encode()]


def test_a_key_file_that_is_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SettingsError, match="no plain file"):
            Settings.from_mapping({"link.key_file": str(path)})
    (tmp_path / "large").write_bytes(b"a" * 100_000)
    (tmp_path / "large").chmod(0o600)
    with pytest.raises(SettingsError, match="more than 65536 bytes"):
        Settings.from_mapping({"link.key_file": str(tmp_path / "large")})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_key_file_of_another_user_or_group_is_told(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY, "ascii")
    os.chown(path, 12345, 54321)
    path.chmod(0o640)
    group, owner = Settings.from_mapping({"link.key_file": str(path)}).warnings
    assert "the group 54321 may read" in group
    assert f"belongs to 12345, who may change it: chown root {path}" in owner
    path.chmod(0o660)
    with pytest.raises(SettingsError, match="the group 54321 may change it"):
        Settings.from_mapping({"link.key_file": str(path)})


def test_a_file_that_its_own_group_may_read_is_as_the_field_has_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n{KEY}\n", "ascii")
    path.chmod(0o640)
    settings = Settings.from_mapping({"link.key_file": str(path)})
    assert settings.warnings == ()
    assert settings.link.keys == [KEY.encode()]


def test_an_id_tells_keys_apart_and_a_key_that_is_made_is_one() -> None:
    made = [make_key(Random(seed)) for seed in range(100)]
    assert len({key_id(key) for key in made}) == 100
    assert all(key.weakness is None for key in made)
    assert key_id(ClusterKey(KEY)) == key_id(ClusterKey(KEY)) != key_id(ClusterKey(OLD))
