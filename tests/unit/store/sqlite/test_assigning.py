"""What an assignment makes of an agent's groups (specification 6.3), and the hashes (6.4)."""

from __future__ import annotations

import hashlib

import pytest

from outrider.model import MOST_GROUPS, GroupMode
from outrider.store.sqlite.assigning import assign, global_hash, group_hash

KNOWN = {"default", "a", "b", "c"}


@pytest.mark.parametrize(
    ("current", "names", "mode", "after"),
    [
        ("a,b", "c", "override", "c"),
        ("a,b", "", "override", ""),
        ("", "a,b,a", "override", "b,a"),
        ("a,b,c", "a", "append", "b,c,a"),
        ("", "a", "append", "a"),
        ("a", "b", "empty_only", None),
        ("", "b,c", "empty_only", "b,c"),
        ("a,b,c", "b", "remove", "a,c"),
        ("a,b", "b,a", "remove", "default"),
        ("a", "c", "remove", "a"),
        ("a", "", "remove", "a"),
        ("", "a", "remove", "default"),
    ],
)
def test_modes(current: str, names: str, mode: GroupMode, after: str | None) -> None:
    groups, refused = assign(_split(current), _split(names), mode, KNOWN)
    assert groups == (None if after is None else _split(after))
    assert not refused


def test_unknown_groups_are_refused_and_stop_nothing() -> None:
    assert assign((), ("a", "nope", "b", ".."), "override", KNOWN)[0] == ("a", "b")
    refused = assign((), ("a", "nope", "b", ".."), "override", KNOWN).refused
    assert refused[0] == "group 'nope' is unknown here"
    assert refused[1].startswith("group '..' has a name that no group may have")


def test_an_agent_has_so_many_groups_and_no_more() -> None:
    most = tuple(f"g{number}" for number in range(MOST_GROUPS))
    known = {*most, "one-more"}
    assert assign((), most, "override", known) == (most, ())
    groups, refused = assign(most, ("one-more",), "append", known)
    assert groups == most
    assert refused == ("group 'one-more' would be one more than the 128 that an agent may have",)
    assert assign(most, ("g0",), "append", known) == ((*most[1:], "g0"), ())


def test_without_default_who_loses_the_last_group_has_none() -> None:
    assert assign(("a",), ("a",), "remove", {"a"}) == ((), ())


def test_hashes_are_those_of_the_specification() -> None:
    assert group_hash("default") == "37a8eec1"
    assert group_hash("") is None
    assert global_hash([b"37a8eec1"]) == "aac8edbccfab5ea7eee53016af08b756a44dc399"
    assert global_hash([b"37a8eec1"] * 602) == "1d65ed9f00c52db70648a2d1671d4a449fd54953"
    assert global_hash([]) is None
    assert group_hash("databases,Linux_x86.64") == hashlib.sha256(b"databases,Linux_x86.64").hexdigest()[:8]


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
