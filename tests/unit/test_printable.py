"""What others wrote can neither start a line nor steer a terminal."""

from __future__ import annotations

from outrider.printable import printable


def test_what_a_terminal_obeys_is_escaped() -> None:
    assert printable("a\nb\r\x1b[31m\x00\x7f") == r"a\nb\r\x1b[31m\x00\x7f"


def test_what_a_reader_does_not_see_is_escaped() -> None:
    assert printable("a\u202eb\u200b\udcff\U000e0001") == r"a\u202eb\u200b\udcff\U000e0001"


def test_words_of_any_language_stay() -> None:
    assert printable("größe 数 名.xml") == "größe 数 名.xml"
