"""The seal: what one ring seals, every ring with that key opens; nothing else opens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import ProtocolError
from outrider.protocol.seal import KeyRing

KEYS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", min_size=32, max_size=32)
RINGS = st.lists(KEYS.map(str.encode), min_size=1, max_size=4, unique=True)


@given(st.binary(max_size=2000), RINGS, KEYS.map(str.encode), st.floats(0, 2**33))
def test_seal_and_open_are_inverse(plain: bytes, keys: list[bytes], newer: bytes, wall: float) -> None:
    token = KeyRing(keys).seal(plain, wall)
    assert KeyRing(keys, max_age_s=10).open(token, wall) == plain
    assert KeyRing([newer, *keys]).open(token, 0) == plain
    if keys[0] != newer:
        try:
            KeyRing([newer]).open(token, wall)
        except ProtocolError as error:
            assert "cluster keys differ" in str(error)  # noqa: PT017
        else:
            raise AssertionError("a token opened with another key")


@given(st.binary(max_size=300), st.floats(0, 2**40))
def test_rubbish_never_opens(rubbish: bytes, wall: float) -> None:
    try:
        KeyRing([b"a" * 32], max_age_s=10).open(rubbish, wall)
    except ProtocolError:
        return
    raise AssertionError("rubbish opened")
