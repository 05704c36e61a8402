"""The seal: tokens of specification 8.2, the ring of keys, the age of a token."""

from __future__ import annotations

import pytest

from outrider.errors import ProtocolError
from outrider.protocol.seal import KeyRing, NoSeal, NothingClear, Retired, signing_half

KEY = b"a" * 32
NOW = 1_700_000_000
HELLO = (
    b"gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD-Oqy1JNGRTOSrbiZf-6S6RudjlSH8sLUx_ey2ffIYvm5mB3xfy3saVCmR_XFkc3_Mv-gv-DDsC9sxrJ"
    b"KN0lX9k="
)
KEEP_ALIVE = b"gAAAAABlU_EAAAECAwQFBgcICQoLDA0ODyhYwzbu3JFuqp2reKoafinOfEXydZqdhQcVAijGst8ZY_B1dJ_PpLY995ymMORSUg=="
EMPTY = b"gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD6A-bH_ofOzvpUtBD5zwK2y7kyn4G56GneyA7Q4Mhc95DX8vA6tYcQxYXjRpf-KTDg=="


@pytest.mark.parametrize(
    ("token", "plain"), [(HELLO, b"worker1 wazuh worker 4.9.2"), (KEEP_ALIVE, b"keepalive"), (EMPTY, b"")]
)
def test_the_tokens_of_the_specification_open(token: bytes, plain: bytes) -> None:
    ring = KeyRing([KEY], max_age_s=1)
    assert ring.open(token, NOW) == plain
    assert len(ring.seal(plain, NOW)) == len(token)
    assert ring.seal(plain, NOW)[:11] == token[:11]  # the version and the time


def test_a_token_is_as_long_as_1_3_says() -> None:
    ring = KeyRing([KEY])
    for size in (0, 1, 15, 16, 17, 31, 32, 1000):
        assert len(ring.seal(bytes(size), NOW)) == 4 * -(-(57 + 16 * (size // 16 + 1)) // 3)


def test_the_first_key_seals_and_all_open() -> None:
    old, new = b"o" * 32, b"n" * 32
    rotated = KeyRing([new, old])
    assert rotated.open(KeyRing([old]).seal(b"from before", NOW), NOW) == b"from before"
    assert KeyRing([new]).open(rotated.seal(b"now", NOW), NOW) == b"now"
    with pytest.raises(ProtocolError, match="cluster keys differ"):
        KeyRing([old]).open(rotated.seal(b"now", NOW), NOW)


def test_every_changed_byte_is_found() -> None:
    ring = KeyRing([KEY])
    for at in range(len(HELLO) - 1):
        changed = bytearray(HELLO)
        changed[at] = ord("A") if HELLO[at] != ord("A") else ord("B")
        with pytest.raises(ProtocolError, match="does not open"):
            ring.open(bytes(changed), NOW)


@pytest.mark.parametrize("token", [b"", b"x", b"gAAAAA", b"\xff" * 100, "ß".encode() * 50, HELLO[:-4]])
def test_rubbish_does_not_open(token: bytes) -> None:
    with pytest.raises(ProtocolError, match="does not open"):
        KeyRing([KEY]).open(token, NOW)


@pytest.mark.parametrize(
    ("stamped", "reason"),
    [
        (0, "1700000000 s old, 300 s are allowed: compare the clocks"),
        (NOW - 3600, "3600 s old"),
        (NOW + 3600, "3600 s ahead of this node's clock: compare the clocks"),
        (NOW + 31 * 365 * 86_400, "ahead of this node's clock"),
    ],
)
def test_threat_11_a_token_beyond_its_age_is_refused_and_the_clock_is_named(stamped: int, reason: str) -> None:
    token = KeyRing([KEY]).seal(b"x", stamped)
    ring = KeyRing([KEY], max_age_s=300)
    with pytest.raises(ProtocolError, match=reason):
        ring.open(token, NOW)
    assert ring.open(ring.seal(b"the next one", NOW - 300), NOW) == b"the next one"
    assert KeyRing([KEY]).open(token, NOW) == b"x"


def test_a_small_skew_is_no_reason() -> None:
    ring = KeyRing([KEY], max_age_s=1)
    assert ring.open(ring.seal(b"x", NOW + 60), NOW) == b"x"


def test_no_seal_changes_nothing() -> None:
    assert NoSeal().open(NoSeal().seal(b"plain", NOW), NOW) == b"plain"


def test_a_link_answers_in_the_key_in_which_it_was_spoken_to_as_long_as_that_is_in_the_ring() -> None:
    old, new = b"o" * 32, b"n" * 32
    ring = KeyRing([new, old])
    link, other = ring.link(), ring.link()
    assert link.open(KeyRing([old]).seal(b"hello", NOW), NOW) == b"hello"
    assert KeyRing([old]).open(link.seal(b"an answer", NOW), NOW) == b"an answer"
    assert KeyRing([new]).open(other.seal(b"of another link", NOW), NOW) == b"of another link"
    ring.replace([new, old, b"t" * 32])
    assert KeyRing([old]).open(link.seal(b"still", NOW), NOW) == b"still"
    ring.replace([new])
    assert KeyRing([new]).open(link.seal(b"it is gone", NOW), NOW) == b"it is gone"
    with pytest.raises(ProtocolError, match="cluster keys differ"):
        link.open(KeyRing([old]).seal(b"hello", NOW), NOW)


def test_a_link_begins_with_the_next_key_when_the_peer_does_not_seem_to_know_the_first() -> None:
    old, new = b"o" * 32, b"n" * 32
    ring = KeyRing([old, new])
    ring.try_next()
    assert KeyRing([new]).open(ring.link().seal(b"x", NOW), NOW) == b"x"
    ring.try_next()
    assert KeyRing([old]).open(ring.link().seal(b"x", NOW), NOW) == b"x"


def test_threat_13_a_key_that_was_rotated_out_opens_nothing_and_is_told_from_a_stranger_s() -> None:
    old, new = b"o" * 16 + b"O" * 16, b"n" * 32
    ring = KeyRing([new])
    ring.replace([new], [Retired(signing_half(old), "on a Thursday")])
    token = KeyRing([old]).seal(b"hello", NOW)
    with pytest.raises(ProtocolError, match="rotated out on a Thursday") as caught:
        ring.open(token, NOW)
    assert caught.value.limit == "link.key_window"
    assert signing_half(old) == b"o" * 16, "the half that encrypts is not kept"
    for rubbish in (token[:-2], b"", b"\xff" * 80, KeyRing([b"s" * 32]).seal(b"hello", NOW)):
        with pytest.raises(ProtocolError, match="cluster keys differ"):
            ring.open(rubbish, NOW)


def test_where_tls_comes_first_nothing_is_sealed_and_nothing_opens() -> None:
    shut = NothingClear()
    with pytest.raises(ProtocolError, match="nothing may be said before TLS"):
        shut.seal(b"x", 0)
    for token in (b"", b"x", KeyRing([b"0123456789abcdefghijklmnopqrstuv"]).seal(b"x", 0)):
        with pytest.raises(ProtocolError, match="something came before TLS"):
            shut.open(token, 0)
