"""The cluster section out of files that are XML by their looks."""

from __future__ import annotations

import pytest

from outrider.wazuh.ossec_conf import LARGEST, read_ossec_conf

SECTION = "<cluster><name>c</name><nodes><node>m1</node><node>m2</node></nodes></cluster>"


def told(text: str) -> list[tuple[str, str]]:
    return [(one.name, one.text) for one in read_ossec_conf(text.encode()).values]


VALUES = [("name", "c"), ("nodes", "m1"), ("nodes", "m2")]


@pytest.mark.parametrize(
    "text",
    [
        SECTION,
        f"<ossec_config>{SECTION}</ossec_config>",
        f"<ossec_config><global/></ossec_config>\n<ossec_config>{SECTION}</ossec_config>",
        f"<?xml version='1.0' encoding='UTF-8'?>\n<ossec_config>{SECTION}</ossec_config>",
        f"\ufeff<!-- a -- b <cluster> -->\n{SECTION}<!-- {SECTION} -->",
        f"<ossec_config><localfile><command>a && b \\< c &lt; &unknown;</command></localfile>{SECTION}</ossec_config>",
        f"<ossec_config><wodle><cluster><name>not this one</name></cluster></wodle>{SECTION}</ossec_config>",
    ],
)
def test_the_section_is_found(text: str) -> None:
    assert told(text) == VALUES


def test_values_know_their_lines_below_comments() -> None:
    section = read_ossec_conf(b"<!--\n\n-->\n<cluster>\n<!-- a\nb --><port>1516</port>\n</cluster>")
    assert section.line == 4
    assert [(one.name, one.line) for one in section.values] == [("port", 6)]


def test_empty_values_and_foreign_groups_are_told() -> None:
    assert told("<cluster><key></key><nodes/><haproxy><user>u</user></haproxy></cluster>") == [
        ("key", ""),
        ("nodes", ""),
        ("haproxy/user", "u"),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no <cluster> section"),
        (b"<ossec_config></ossec_config>", "no <cluster> section"),
        (f"{SECTION}\n{SECTION}".encode(), "several <cluster> sections, on the lines 1 and 2"),
        (b"<cluster>\n<name>c</nam></cluster>", "line 2: mismatched tag"),
        (b"<cluster><name>\xff</name></cluster>", r"not UTF-8 text \(byte 15\)"),
        (b"<cluster>\n<!-- begun </cluster>", "line 2: a comment has no end"),
        (b"\n<!DOCTYPE a [<!ENTITY b 'c'>]><cluster/>", "line 2: it declares a document type or entities"),
        (b"<cluster><!ENTITY b 'c'></cluster>", "line 1: it declares a document type or entities"),
        (b"<a>" * 40, "deeper than 32"),
        (b" " * (LARGEST + 1), "larger than"),
    ],
)
def test_what_cannot_be_gone_by_is_told_with_its_place(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_ossec_conf(content)


def test_an_entity_is_text_and_nothing_else() -> None:
    assert told("<cluster><name>&amp;&file;&#65;</name></cluster>") == [("name", "&&file;A")]


def test_comments_without_end_cost_no_more_than_their_length() -> None:
    with pytest.raises(ValueError, match="a comment has no end"):
        read_ossec_conf(b"<!--" * (LARGEST // 4))
