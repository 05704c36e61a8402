"""What the settings say of a kind reaches it as its own types, from every source; what is wrong names its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from outrider.errors import SettingsError
from outrider.kinds.interface import Kind, Talk, stateless
from outrider.kinds.options import check_options, options_of
from outrider.settings import Settings


class Options(Struct, frozen=True):
    zone: str = "UTC"
    warn_s: float = 1.0
    peers: tuple[str, ...] = ()
    names: dict[str, int] = {}


CLOCK = Kind(name="clock", interval_s=60, options=Options, worker=stateless(lambda _: Talk()))


def load(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, **flags: str) -> Settings:
    path = tmp_path / "outrider.toml"
    path.write_text(text)
    return Settings.load(path, environ or {}, {name.replace("__", "."): value for name, value in flags.items()})


def wrong(settings: Settings) -> str:
    with pytest.raises(SettingsError) as caught:
        check_options([CLOCK], settings)
    return str(caught.value)


def test_without_a_section_a_kind_has_its_own_defaults(tmp_path: Path) -> None:
    assert options_of(CLOCK, load(tmp_path)) == (60, Options())


def test_each_source_has_its_say_and_the_later_wins(tmp_path: Path) -> None:
    text = '[kinds.clock]\ninterval = 5\nzone = "file"\nwarn_s = 0.5\npeers = ["a"]\nnames = {"a.b" = 1, c = 2}\n'
    environ = {"OUTRIDER_KINDS__CLOCK__WARN_S": "2.5", "OUTRIDER_KINDS__CLOCK__ZONE": "variable"}
    settings = load(tmp_path, text, environ, kinds__clock__zone="flag", kinds__clock__peers='["b", "c"]')
    check_options([CLOCK], settings)
    assert options_of(CLOCK, settings) == (5, Options("flag", 2.5, ("b", "c"), {"a.b": 1, "c": 2}))
    shown = {line.key: (line.value, line.origin) for line in settings.describe()}
    assert shown["kinds.clock.interval"] == (5, "file outrider.toml")
    assert shown["kinds.clock.warn_s"] == ("2.5", "environment OUTRIDER_KINDS__CLOCK__WARN_S")
    assert shown["kinds.clock.peers"] == (["b", "c"], "flag")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kinds = 5", r"kinds \(file outrider.toml\) is a section, not a value: write \[kinds.NAME\]"),
        ("[kinds]\nclock = 5", r"kinds.clock \(file outrider.toml\) is a section, not a value"),
        ('[kinds.clock]\nzone = "\\u0000"', r"kinds.clock.zone \(file outrider.toml\): it holds a NUL"),
    ],
)
def test_what_no_kind_could_use_is_refused_when_it_is_read(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load(tmp_path, text)


def test_a_flag_that_begins_as_a_list_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"kinds.clock.peers \(flag\): "):
        load(tmp_path, kinds__clock__peers="[1, ")


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = "[kinds.clock]\nwarn_s = []\n[kinds.clok]\nx = 1\n[kinds.integrity]\ny = 1\n"
    lines = wrong(load(tmp_path, text)).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("kinds.clok: no kind of synchronisation has this name; there are agent_groups, ")
    assert "kinds.integrity.y: this kind has no such option" in lines
    assert "kinds.clock.warn_s = []: Expected float, got array" in lines


@pytest.mark.parametrize("interval", [0, -1, 90_000, "soon", True, [1]])
def test_an_interval_is_seconds_within_a_day(tmp_path: Path, interval: Any) -> None:
    del tmp_path
    with pytest.raises(SettingsError, match=r"kinds.clock.interval = "):
        options_of(CLOCK, Settings.from_mapping({"kinds": {"clock": {"interval": interval}}}))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.decimals()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from(["zone", "warn_s", "peers", "interval", "x"]), VALUES))
def test_whatever_is_set_it_is_a_value_or_one_clear_error(options: dict[str, Any]) -> None:
    told = ""
    try:
        interval_s, read = options_of(CLOCK, Settings.from_mapping({"kinds": {"clock": options}}))
    except SettingsError as error:
        told = str(error)
    assert "kinds.clock" in told or (interval_s > 0 and isinstance(read, Options))
