"""``etc/client.keys`` names agents; its keys stay in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import StoreError
from outrider.store.agents import RegisteredAgent
from outrider.store.client_keys import parse, read_client_keys, stamp

LINES = b"""\
# a comment
001 web-1 any 5c8f
0002 db-1 10.0.0.0/8 77aa

003 !gone 10.0.0.3 dead
004 #gone-too any dead
 005 indented any aaaa
006 moved any 1111
007 left any 2222
007 !left any 2222
006 moved 10.0.0.6 3333
"""


def test_agents_are_read_and_removed_ones_left_out() -> None:
    assert parse(LINES.splitlines(keepends=True)) == (
        [
            RegisteredAgent(1, "web-1", "any"),
            RegisteredAgent(2, "db-1", "10.0.0.0/8"),
            RegisteredAgent(6, "moved", "10.0.0.6"),
        ],
        [],
    )


@pytest.mark.parametrize(
    "line",
    [b"x name any key", b"1 name any", b"-1 n any k", b"0 n any k", b"2147483648 n any k", b"1 \xff any k", b"\0"],
)
def test_a_line_that_is_none_is_counted_and_stops_no_other(line: bytes) -> None:
    assert parse([line, b"8 name any key\n"]) == ([RegisteredAgent(8, "name", "any")], [1])


def test_no_key_is_kept() -> None:
    assert not any(key in repr(parse(LINES.splitlines())) for key in ("5c8f", "77aa", "dead", "3333"))


def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check what it is"):
        read_client_keys(tmp_path)


def test_a_file_that_changes_has_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "client.keys"
    assert stamp(file) is None
    file.write_bytes(LINES)
    first = stamp(file)
    assert stamp(file) == first
    file.write_bytes(LINES + b"9 n any k\n")
    assert stamp(file) != first
    assert len(read_client_keys(file).agents) == 4
