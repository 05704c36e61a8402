"""Bodies of the fast path as they lie on the wire: another release of ours must read the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from outrider.protocol import generations as g

ROOT, LINEAGE, TICKET = bytes(range(64)), bytes(16), bytes(range(16))
ROOT_W, LINEAGE_W, TICKET_W = b"\xc4\x40" + ROOT, b"\xc4\x10" + LINEAGE, b"\xc4\x10" + TICKET
BODIES: list[tuple[Any, bytes, Callable[[bytes], Any]]] = [
    (g.Standing(ROOT, 7), b"\x92" + ROOT_W + b"\x07", g.decode_standing),
    (g.InStep(300, LINEAGE), b"\x93\x00\xcd\x01\x2c" + LINEAGE_W, g.decode_answer),
    (
        g.Offer(7, ROOT, LINEAGE, TICKET, b"data", whole=True),
        b"\x98\x01\x07" + ROOT_W + LINEAGE_W + TICKET_W + b"\xc4\x04data\xc3\xc2",
        g.decode_answer,
    ),
    (g.Unknown(), b"\x91\x02", g.decode_answer),
    (g.Wanted(("a", "b/c")), b"\x92\x03\x92\xa1a\xa3b/c", g.decode_answer),
    (g.News(7), b"\x92\x04\x07", g.decode_answer),
    (g.Read(TICKET, 1 << 40), b"\x92" + TICKET_W + b"\xcf" + (1 << 40).to_bytes(8, "big"), g.decode_read),
    (g.Done(7, ROOT, "no", (1, 2, 3)), b"\x94\x07" + ROOT_W + b"\xa2no\x93\x01\x02\x03", g.decode_done),
]


@pytest.mark.parametrize(("body", "wire", "decode"), BODIES)
def test_each_body_lies_so_on_the_wire(body: Any, wire: bytes, decode: Callable[[bytes], Any]) -> None:
    assert g.encode(body) == wire
    assert decode(wire) == body


@pytest.mark.parametrize(("body", "wire", "decode"), BODIES)
def test_threat_45_a_field_that_a_later_release_adds_is_ignored(
    body: Any, wire: bytes, decode: Callable[[bytes], Any]
) -> None:
    longer = bytes([wire[0] + 1]) + wire[1:] + b"\xa4more"
    assert decode(longer) == body


def test_threat_45_what_an_earlier_release_does_not_say_has_its_default() -> None:
    assert g.decode_done(b"\x92\x07" + ROOT_W) == g.Done(7, ROOT, "", (0, 0, 0))
    short = b"\x97\x01\x07" + ROOT_W + LINEAGE_W + TICKET_W + b"\xc4\x04data\xc3"
    assert g.decode_answer(short) == g.Offer(7, ROOT, LINEAGE, TICKET, b"data", whole=True, approved=False)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\x90",
        b"\x91\x09",
        b"\x92\x04\xff",
        b"\x92\x04\xcb" + b"\x00" * 8,
        b"\x93\x00\x01\xc4\x0f" + bytes(15),
        b"\x92\x03\xdd\x00\x01\x00\x01" + b"\xa1a" * 65_537,
        b"\x92\x03\x91\xda\x10\x01" + b"a" * 4097,
        b"\x92\x03\x91\xa1\xff",
    ],
    ids=[
        "nothing",
        "no tag",
        "an unknown tag",
        "a number below 0",
        "a number that is a float",
        "a short lineage",
        "too many paths",
        "too long a path",
        "a path that is not UTF-8",
    ],
)
def test_threat_06_what_is_no_answer_is_refused(wire: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        g.decode_answer(wire)


def test_the_name_of_a_step_stays_the_same_from_release_to_release() -> None:
    assert g.ticket_of(ROOT, bytes(64)).hex() == "825c13c4705bdd271224c519491f0e38"
