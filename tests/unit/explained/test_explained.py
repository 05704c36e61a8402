"""Every code is explained, in words that hold: commands that there are, settings that there are."""

from __future__ import annotations

import re

import pytest

from outrider.cli import main
from outrider.codes import Code
from outrider.explained import EXPLANATIONS, FAMILIES, Explanation, explanation
from outrider.protocol.faults import MESSAGES
from outrider.settings.catalogue import CATALOGUE, SECTIONS

SPECIFIED = """\
1000 1014 1017 1119 1724 1728 1730 2003 2005 2007 2009 2010 3000 3001 3004 3005 3006 3007 3009 3012 3013 3015 3016 3018
3020 3021 3022 3023 3024 3025 3026 3027 3028 3029 3030 3031 3032 3034 3035 3036 3037 3038 3039 3040 4000"""
"""The numbers of specification 7.2."""


def test_every_code_and_every_number_of_the_wire_is_explained_once() -> None:
    listed = [one.code for family in FAMILIES.values() for one in family]
    assert len(listed) == len(set(listed))
    assert set(listed) == {*Code, *SPECIFIED.split()}
    assert {str(number) for number in MESSAGES} <= set(listed)


@pytest.mark.parametrize("one", EXPLANATIONS.values(), ids=lambda one: one.code)
def test_an_explanation_is_whole(one: Explanation) -> None:
    assert one.title
    assert not one.title.endswith(".")
    assert one.example
    for text in (one.cause, one.meanwhile, one.remedy):
        assert text.endswith((".", "?"))


@pytest.mark.parametrize("one", EXPLANATIONS.values(), ids=lambda one: one.code)
def test_commands_and_settings_that_it_names_are_there(one: Explanation) -> None:
    text = f"{one.cause} {one.meanwhile} {one.remedy}"
    for command, below in re.findall(r"`outrider ([a-z]+)(?: ([a-z]+))?", text):
        found = main.commands[command]
        assert not below or below in getattr(found, "commands", {below: None})
    sections = "|".join(SECTIONS)
    for name in re.findall(rf"(?<![\w./])(?:{sections})\.(?!pem)[a-z_.]*[a-z]", text):
        assert name in CATALOGUE or any(key.startswith(f"{name}.") for key in CATALOGUE)


@pytest.mark.parametrize("written", ["OUT-1203", "out-1203", "OUT1203", "1203", "[OUT-1203]", " out-1203 "])
def test_a_code_may_be_written_in_several_ways(written: str) -> None:
    found = explanation(written)
    assert found is not None
    assert found.code == "OUT-1203"


def test_a_number_of_the_other_ends_api_is_said_to_be_one() -> None:
    assert explanation("3022") is EXPLANATIONS["3022"]
    assert explanation("1701") == EXPLANATIONS["OUT-1701"]
    assert explanation("6001") == EXPLANATIONS["OUT-1310"]


@pytest.mark.parametrize("written", ["", "OUT-9999", "12", "²²²²", "OUT-", "no"])
def test_what_is_no_code_is_not_explained(written: str) -> None:
    assert explanation(written) is None
