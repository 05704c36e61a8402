"""What may change while a node runs: every key is one or the other, and a change of each comes to what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import structs

from outrider.errors import SettingsError
from outrider.settings import Settings
from outrider.settings.catalogue import CATALOGUE, SECTIONS, Key
from outrider.settings.key import ClusterKey
from outrider.settings.reload import AT_START, differences, in_force, why_at_start
from outrider.settings.sources import KINDS

OLD, NEW = ClusterKey("0123456789abcdefghijklmnopqrstuv"), ClusterKey("vutsrqponmlkjihgfedcba9876543210")
DEFAULTS = Settings.from_mapping({})


def another(key: Key) -> Any:
    """A value of a key's type that is not its default."""
    default = key.default
    if isinstance(default, tuple):
        return (NEW,) if key.secret else (*default, "one more")
    if isinstance(default, Path | None):
        return NEW if key.secret else Path("/another")
    if isinstance(default, str):
        return next((value for value in get_args(get_args(key.type)[0]) if value != default), "another")
    return not default if isinstance(default, bool) else default / 2 or 1


def with_value(part: Any, path: str, value: Any) -> Any:
    """Settings, or a section of them, with one value replaced."""
    name, _, rest = path.partition(".")
    return structs.replace(part, **{name: with_value(getattr(part, name), rest, value) if rest else value})


def value_of(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("key", CATALOGUE.values(), ids=lambda key: key.name)
def test_threat_48_a_key_is_in_force_at_once_or_named_and_left_as_it_was(key: Key) -> None:
    new = with_value(DEFAULTS, key.name, another(key))
    assert value_of(new, key.name) != key.default
    (change,) = differences(DEFAULTS, new)
    assert (change.key, change.live) == (key.name, why_at_start(key.name) is None)
    now = in_force(DEFAULTS, new)
    assert value_of(now, key.name) == (value_of(new, key.name) if change.live else key.default)
    assert [other for other in CATALOGUE if value_of(now, other) != value_of(DEFAULTS, other)] == [
        key.name
    ] * change.live
    assert ("takes effect at the next start" in str(change)) is not change.live


def test_what_waits_for_the_next_start_are_keys_and_sections_that_there_are() -> None:
    names = {*CATALOGUE, *SECTIONS, KINDS}
    assert set(AT_START) <= names
    assert all(AT_START.values())


def test_intervals_and_limits_are_live_all_of_them_but_one_that_is_over() -> None:
    waiting = [key for key in CATALOGUE if key.startswith(("intervals.", "limits.")) and why_at_start(key)]
    assert waiting == ["intervals.master.agent_group_start_delay"]


def test_a_difference_shows_no_key_of_the_cluster() -> None:
    old = with_value(DEFAULTS, "link.key", OLD)
    new = with_value(with_value(DEFAULTS, "link.key", NEW), "link.previous_keys", (OLD,))
    told = [str(change) for change in differences(old, new)]
    assert told == ["link.key: <hidden> -> <hidden>", "link.previous_keys: not set -> <hidden>"]
    assert str(differences(DEFAULTS, old)[0]) == "link.key: not set -> <hidden>"


def test_a_value_of_a_difference_is_a_line_and_no_long_one() -> None:
    new = with_value(DEFAULTS, "generations.check_command", ("sh", "-c", "\x1b[31m\n" + "x" * 1000))
    (change,) = differences(DEFAULTS, new)
    assert str(change).isprintable()
    assert len(change.new) < 250


def test_options_of_kinds_are_compared_and_wait(tmp_path: Path) -> None:
    old = Settings.from_mapping({"kinds": {"acme": {"interval": 60, "gone": True}}})
    new = Settings.from_mapping({"kinds": {"acme": {"interval": 30, "folder": str(tmp_path)}}})
    changes = {change.key: change for change in differences(old, new)}
    assert list(changes) == ["kinds.acme.folder", "kinds.acme.gone", "kinds.acme.interval"]
    assert (changes["kinds.acme.gone"].new, changes["kinds.acme.interval"].new) == ("not set", "30")
    assert in_force(old, new).kinds == old.kinds


def test_settings_are_read_again_from_where_they_came(tmp_path: Path) -> None:
    file = tmp_path / "outrider.toml"
    file.write_text('[node]\nname = "n1"\n[limits]\ntasks = 5\n', "utf-8")
    environ = {"OUTRIDER_LIMITS__OPEN_FILES": "3"}
    settings = Settings.load(file, environ, {"node.type": "master", "link.port": "2000"})
    file.write_text('[node]\nname = "n2"\n[limits]\ntasks = 6\n', "utf-8")
    again = settings.again()
    assert (again.node.name, again.node.type, again.link.port) == ("n2", "master", 2000)
    assert (again.limits.tasks, again.limits.open_files) == (6, 3)
    file.write_text("[limits]\ntasks = 0\nnonsense = 1\n", "utf-8")
    with pytest.raises(SettingsError, match=r"limits\.tasks(?s:.*)limits\.nonsense"):
        settings.again()


def test_the_role_of_a_node_stays_where_no_source_names_one() -> None:
    assert Settings.load(None, {}).again().node.type == "worker"
    master = Settings.load(None, {})
    assert structs.replace(master, node=structs.replace(master.node, type="master")).again().node.type == "master"


def test_settings_that_a_program_made_are_its_own() -> None:
    with pytest.raises(SettingsError, match="made by the program"):
        DEFAULTS.again()


def test_neither_the_sources_nor_what_shows_them_hold_a_secret() -> None:
    settings = Settings.load(None, {"OUTRIDER_LINK__KEY": bytes(OLD).decode()})
    assert bytes(OLD).decode() not in repr(settings)
    assert settings.without_secrets().sources is None


def test_the_state_folder_of_a_service_is_its_home_where_nothing_else_names_one(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": f"{tmp_path}:/another"}
    found = Settings.load(None, environ)
    assert (found.node.home, found.origins["node.home"]) == (tmp_path, "environment STATE_DIRECTORY")
    assert Settings.load(None, environ, {"node.home": "/elsewhere"}).node.home == Path("/elsewhere")
    assert Settings.load(None, {"STATE_DIRECTORY": ""}).origins == {}
