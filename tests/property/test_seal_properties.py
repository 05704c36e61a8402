"""The seal: what one ring seals, every ring with that key opens; nothing else opens."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet
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


@given(st.binary(max_size=5000), KEYS.map(str.encode), st.integers(0, 2**33))
def test_tokens_are_those_of_cryptographys_fernet(plain: bytes, key: bytes, wall: int) -> None:
    oracle, ring = Fernet(urlsafe_b64encode(key)), KeyRing([key])
    token = ring.seal(plain, wall)
    assert oracle.decrypt(token) == plain
    assert oracle.extract_timestamp(token) == wall
    theirs = oracle.encrypt_at_time(plain, wall)
    assert ring.open(theirs, wall) == plain
    assert (len(token), token[:10]) == (len(theirs), theirs[:10])


@given(st.binary(max_size=200), st.data())
def test_what_was_changed_anywhere_does_not_open(plain: bytes, data: st.DataObject) -> None:
    ring = KeyRing([b"a" * 32])
    token = ring.seal(plain, 0)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != token[at]))
    changed = token[:at] + bytes([other]) + token[at + 1 :]
    try:
        ring.open(changed, 0)
    except ProtocolError:
        return
    raise AssertionError("a changed token opened")
