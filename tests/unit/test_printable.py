"""What others wrote can neither start a line nor steer a terminal."""

from __future__ import annotations

import pytest

from outrider.printable import counted, printable, words_of


def test_what_a_terminal_obeys_is_escaped() -> None:
    assert printable("a\nb\r\x1b[31m\x00\x7f") == r"a\nb\r\x1b[31m\x00\x7f"


def test_what_a_reader_does_not_see_is_escaped() -> None:
    assert printable("a\u202eb\u200b\udcff\U000e0001") == r"a\u202eb\u200b\udcff\U000e0001"


def test_words_of_any_language_stay() -> None:
    assert printable("größe 数 名.xml") == "größe 数 名.xml"


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


@pytest.mark.parametrize(
    ("error", "words"),
    [(ValueError("a\nb"), r"a\nb"), (KeyError(), "KeyError"), (KeyError("a"), "'a'"), (MuteError(), "MuteError")],
)
def test_any_exception_says_something(error: Exception, words: str) -> None:
    assert words_of(error) == words


def test_numbers_of_things_read_as_a_person_says_them() -> None:
    assert [counted(number, "file") for number in (0, 1, 2, 20_000)] == ["0 files", "1 file", "2 files", "20,000 files"]
