"""The text of tokens: that of the standard library, and nothing that only resembles it."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider._native import base64url_decode, base64url_encode


@given(st.binary(max_size=500))
def test_the_text_is_the_standard_librarys(data: bytes) -> None:
    text = base64url_encode(data)
    assert text == urlsafe_b64encode(data)
    assert base64url_decode(text) == data


@pytest.mark.parametrize(
    "text", [b"A", b"AA", b"AAA", b"AA=", b"=", b"==", b"====", b"AA==AA==", b"A+/A", b"AB==", b"AAA\n"]
)
def test_another_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no base64"):
        base64url_decode(text)


@given(st.binary(max_size=100))
def test_rubbish_is_refused_or_the_text_of_what_it_gives(text: bytes) -> None:
    try:
        data = base64url_decode(text)
    except ValueError:
        return
    assert base64url_encode(data) == text
