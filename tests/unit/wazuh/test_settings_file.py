"""The text is tried by the real loader, and written as two files or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from outrider.errors import SettingsError
from outrider.settings import Settings
from outrider.wazuh.settings_file import text_of, tried, write
from outrider.wazuh.translate import Imported

KEY = "k" * 32


def imported(**values: object) -> Imported:
    given = {"node.type": "worker", **{name.replace("__", "."): value for name, value in values.items()}}
    return Imported(given, KEY, {"link.port": "ossec.conf, line 7"}, [("<new>", "unknown")], ["look\nhere"])


def test_the_text_says_what_it_leaves_out_and_loads() -> None:
    out = imported(link__port=1600, tree__files=[{"folder": "etc/a/"}, {"folder": "etc/b/"}])
    text = text_of(out, "a.key")
    assert "#   <new>: unknown\n" in text
    assert "#   look\\nhere\n" in text
    assert KEY not in text
    settings = tried(text, out, "a.key")
    assert (settings.link.port, [row.folder for row in settings.tree.files]) == (1600, ["etc/a/", "etc/b/"])


def test_a_value_that_no_node_takes_is_told_with_its_place() -> None:
    out = imported(link__port=80)
    with pytest.raises(SettingsError, match=r"^ossec.conf, line 7: link.port = 80: the port must lie above 1024"):
        tried(text_of(out, "a.key"), out, "a.key")


def test_a_bad_key_is_told_without_it() -> None:
    out = imported()._replace(key="secret")
    with pytest.raises(SettingsError, match=r"^ossec.conf, <key>: it has 6 characters") as told:
        tried(text_of(out, "a.key"), out, "a.key")
    assert "secret" not in str(told.value)


def test_both_files_are_written_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    out, file, key = imported(), tmp_path / "a.toml", tmp_path / "a.key"
    write(text_of(out, key.name), out, file, key, replace=False)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert Settings.load(file, environ={}).link.keys == [KEY.encode()]
    other = out._replace(key="o" * 32)
    with pytest.raises(FileExistsError, match="--force"):
        write(text_of(other, key.name), other, file, key, replace=False)
    file.unlink()
    with pytest.raises(FileExistsError, match="--force"):  # the key alone is there
        write(text_of(other, key.name), other, file, key, replace=False)
    assert (key.read_text(), file.exists()) == (f"{KEY}\n", False)
    write(text_of(other, key.name), other, file, key, replace=True)
    assert Settings.load(file, environ={}).link.keys == [b"o" * 32]
