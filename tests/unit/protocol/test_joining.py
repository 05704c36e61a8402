"""Tokens as words to copy."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.protocol.joining import Token

TOKEN = Token("worker1", "0123456789abcdef", "s" * 64, ("f" * 64,))


def test_a_token_is_one_word_that_survives_a_copy() -> None:
    word = TOKEN.encode()
    assert re.fullmatch(r"outrider1\.[A-Za-z0-9_-]+", word)
    assert Token.decode(f" {word}\n") == TOKEN


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 20])
def test_a_token_that_was_copied_in_part_is_none(cut: int) -> None:
    with pytest.raises(ValueError, match="this is no token; `outrider ca token NAME` makes one, copy it whole"):
        Token.decode(TOKEN.encode()[:-cut])


@given(st.text(max_size=300))
def test_whatever_else_is_a_value_error(text: str) -> None:
    try:
        Token.decode(text)
    except ValueError:
        return
    pytest.fail("no text of chance is a token")


def test_what_is_nested_too_deep_is_no_token_either() -> None:
    deep = urlsafe_b64encode(b'["a","b","c",["d"],' + b"[" * 3000).decode()
    with pytest.raises(ValueError, match="this is no token"):
        Token.decode(f"outrider1.{deep}")
