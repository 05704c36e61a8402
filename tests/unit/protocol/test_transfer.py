"""Strings in parts: whole or nothing, within limits."""

from __future__ import annotations

from random import Random

import pytest

from outrider.errors import Refusal
from outrider.protocol.transfer import Strings
from outrider.settings import Limits


def strings(most: int = 4, string_bytes: int = 1000, all_bytes: int = 1500) -> Strings:
    return Strings(Random(1), lambda: Limits(open_strings=most, string_bytes=string_bytes, strings_total=all_bytes))


def test_a_string_is_taken_once_when_all_of_it_came() -> None:
    kept = strings()
    name = kept.begin(b"10")
    assert name.isdigit()
    assert int(name) < 2**32
    kept.extend(name, b"hello")
    kept.extend(name, b"there")
    assert kept.take(name) == b"hellothere"
    assert kept.take(name) is None
    assert len(kept) == 0


def test_a_lost_part_spoils_the_string() -> None:
    kept = strings()
    name = kept.begin(b"10")
    kept.extend(name, b"hello")
    assert kept.take(name) is None
    assert len(kept) == 0


def test_what_goes_beyond_the_declared_size_is_dropped() -> None:
    kept = strings()
    name = kept.begin(b"5")
    kept.extend(name, b"hello, world")
    kept.extend(name, b"more")
    assert kept.held == 5
    assert kept.take(name) == b"hello"


def test_an_empty_string_is_whole() -> None:
    kept = strings()
    assert kept.take(kept.begin(b"0")) == b""


def test_an_unknown_string_is_refused_with_its_name() -> None:
    with pytest.raises(Refusal) as caught:
        strings().extend(b"99", b"x")
    assert (caught.value.code, caught.value.detail) == (1000, "b'99'")


def test_err_str_drops_the_first_unused_of_that_size() -> None:
    kept = strings()
    used, unused, other = kept.begin(b"7"), kept.begin(b"7"), kept.begin(b"8")
    kept.extend(used, b"x")
    assert kept.drop_unused(b"7") == unused
    assert kept.drop_unused(b"7") is None
    assert kept.drop_unused(b"8") == other
    assert len(kept) == 1


@pytest.mark.parametrize("text", [b"-1", b"1001", b"99999999999999999999"])
def test_threat_07_a_size_that_cannot_be_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal, match="over the limit of 1000"):
        strings().begin(text)


@pytest.mark.parametrize("text", [b"", b"abc", b"1e3", b"0x10", b"\xff", b"9" * 5000])
def test_threat_07_a_size_that_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"invalid literal for int\(\)|Exceeds the limit"):
        strings().begin(text)


def test_declaring_costs_nothing_and_limits_hold() -> None:
    kept = strings(most=2)
    first, second = kept.begin(b"1000"), kept.begin(b"1000")
    assert kept.held == 0
    with pytest.raises(Refusal, match="2 strings open already"):
        kept.begin(b"1")
    kept.extend(first, bytes(1000))
    with pytest.raises(Refusal, match="the open strings hold 1500 bytes"):
        kept.extend(second, bytes(501))
    kept.extend(second, bytes(500))
    assert kept.take(first) == bytes(1000)
    kept.extend(second, bytes(500))
    assert kept.take(second) == bytes(1000)
