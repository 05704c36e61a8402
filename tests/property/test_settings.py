"""Whatever somebody writes as settings: they are valid, or every error is told in lines that name a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import SettingsError
from outrider.settings import ClusterKey, FileRow, Settings
from outrider.settings.catalogue import CATALOGUE
from outrider.settings.files import folder_fault

text = st.text(st.characters())  # lone surrogates too: the environment hands over any bytes
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary() | st.dates()
rows = st.fixed_dictionaries({}, optional={name: scalars | st.lists(st.text()) for name in FileRow.__struct_fields__})
anything = st.recursive(
    scalars | rows, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
names = st.sampled_from(sorted(CATALOGUE)) | st.text(max_size=20)


def complaint(make: Callable[[], Settings]) -> str:
    """What is wrong with the settings, empty if they are valid and can be shown."""
    try:
        msgspec.json.encode(make().describe())
    except SettingsError as error:
        return str(error) or "an error without a word"
    return ""


@given(st.dictionaries(names, anything, max_size=4))
def test_any_mapping_is_settings_or_a_settings_error(values: dict[str, Any]) -> None:
    assert all(line.strip() for line in complaint(lambda: Settings.from_mapping(values)).splitlines())


@given(st.dictionaries(names, text, max_size=4))
def test_any_text_of_flags_is_settings_or_a_settings_error(values: dict[str, str]) -> None:
    assert all(line.strip() for line in complaint(lambda: Settings.load(None, {}, values)).splitlines())


@given(st.dictionaries(st.from_regex(r"OUTRIDER_[A-Z_]{1,30}", fullmatch=True), text, max_size=4))
def test_any_environment_is_settings_or_a_settings_error(environ: dict[str, str]) -> None:
    said = complaint(lambda: Settings.load(None, environ))
    assert not said or any(variable in said for variable in environ)


@given(st.text(st.sampled_from("ab./\\:\0|"), max_size=12))
def test_threat_24_a_folder_that_is_taken_stays_below_the_home(folder: str) -> None:
    if folder_fault(folder) is None:
        parts = folder.split("/")
        assert parts.pop() == ""
        assert all(part not in {"", ".", ".."} for part in parts)


@given(st.text(max_size=40))
def test_threat_12_a_key_is_refused_without_being_repeated(text: str) -> None:
    try:
        shown = repr(ClusterKey(text))
    except ValueError as error:
        shown = str(error)
    assert len(text) < 8 or text not in shown  # a short text may be a part of any sentence
