"""The last words in clear: who may say what around ``start_tls``, and what leaves only inside TLS."""

from __future__ import annotations

import pytest
from tests.unit.protocol.links import at, link, sent

from outrider.errors import ProtocolError
from outrider.protocol.commands import ECHO, HELLO, OK, PROBE, START_TLS
from outrider.protocol.connection import Connection, State
from outrider.protocol.events import Answered, Closed, Requested
from outrider.protocol.frame import pack_frame
from outrider.protocol.seal import KeyRing

SERVED = {command.name: command for command in (ECHO, PROBE, START_TLS)}
RING = KeyRing([b"k" * 32])
CLEAR = pack_frame(9, b"echo", RING.seal(b"from outside", 1_700_000_000))


def sealed(name: bytes, counter: int, payload: bytes = b"") -> bytes:
    return pack_frame(counter, name, RING.seal(payload, 1_700_000_000))


def asked_to_turn() -> Connection:
    """A master whose worker has said ``start_tls``, which is not answered yet."""
    master = link(serves=SERVED, seal=RING)
    assert master.receive(sealed(b"start_tls", 5), at(0)) == [Requested(5, START_TLS, b"")]
    assert master.state is State.TURNING
    return master


def test_after_its_ok_a_side_says_nothing_until_tls_stands_and_then_all_of_it_plain_and_in_order() -> None:
    master = asked_to_turn()
    master.request(ECHO, b"still in clear", at(0), 20)
    master.reply(5, OK, b"", at(0))
    master.request(ECHO, b"one", at(0), 20)
    master.reply(4, OK, b"two", at(0))
    clear = sent(master)
    assert [(frame.name, RING.open(frame.payload, 0)) for frame in clear] == [
        (b"echo", b"still in clear"),
        (b"ok", b""),
    ]
    master.secured(at(1))
    assert [(frame.name, frame.payload) for frame in sent(master)] == [(b"echo", b"one"), (b"ok", b"two")]
    assert master.state is State.KNOWN
    assert master.receive(pack_frame(6, b"echo", b"plain"), at(1)) == [Requested(6, ECHO, b"plain")]


def test_a_refused_turn_changes_nothing() -> None:
    master = asked_to_turn()
    master.reply(5, b"err", b"no", at(0))
    assert master.state is State.KNOWN
    assert master.receive(CLEAR, at(0)) == [Requested(9, ECHO, b"from outside")]


@pytest.mark.parametrize("behind", [CLEAR, CLEAR[:7], b"\0", sealed(b"start_tls", 6)])
def test_threat_09_a_byte_in_clear_behind_start_tls_breaks_the_link(behind: bytes) -> None:
    together = link(serves=SERVED, seal=RING)
    assert isinstance(together.receive(sealed(b"start_tls", 5) + behind, at(0))[-1], Closed)
    apart = asked_to_turn()
    assert isinstance(apart.receive(behind, at(0))[-1], Closed)
    assert {together.state, apart.state} == {State.CLOSED}


def test_threat_09_a_divided_message_that_is_open_breaks_the_link() -> None:
    master = link(serves=SERVED, seal=RING)
    events = master.receive(pack_frame(3, b"echo", b"gAAA", b"d") + sealed(b"start_tls", 5), at(0))
    assert isinstance(events[-1], Closed)


def test_threat_09_a_byte_in_clear_behind_the_answer_breaks_the_link() -> None:
    worker = link(serves=SERVED, seal=RING)
    counter = worker.request(START_TLS, b"", at(0), 20)
    events = worker.receive(sealed(b"ok", counter) + CLEAR, at(0))
    assert events[0] == Answered(counter, OK, b"")
    assert isinstance(events[1], Closed)


def test_threat_09_a_token_that_comes_again_inside_tls_opens_nothing() -> None:
    worker = link(serves=SERVED, seal=RING)
    worker.secured(at(0))
    (event,) = worker.receive(CLEAR, at(0))
    assert isinstance(event, Requested)
    assert event.payload != b"from outside"


def test_who_introduces_itself_says_nothing_else_meanwhile() -> None:
    worker = link(known=False, serves=SERVED, seal=RING)
    worker.hold_back()
    hello = worker.request(HELLO, b"w c worker 1", at(0), 20)
    worker.receive(sealed(b"ok", hello), at(0))
    worker.request(PROBE, b"{}", at(0), 20)
    worker.request(ECHO, b"later", at(0), 20)
    worker.reply(77, OK, b"later too", at(0))
    worker.request(START_TLS, b"", at(0), 20)
    assert [frame.name for frame in sent(worker)] == [b"hello", b"outrider", b"start_tls"]
    worker.let_go(at(0))
    assert [(frame.name, RING.open(frame.payload, 0)) for frame in sent(worker)] == [
        (b"echo", b"later"),
        (b"ok", b"later too"),
    ]


def test_what_is_held_back_dies_with_the_link() -> None:
    worker = link(serves=SERVED, seal=RING)
    worker.hold_back()
    worker.request(ECHO, b"later", at(0), 20)
    worker.close()
    worker.secured(at(0))
    assert worker.state is State.CLOSED
    assert sent(worker) == []


def test_the_seal_of_the_base_protocol_opens_nothing_plain() -> None:
    with pytest.raises(ProtocolError):
        RING.open(b"plain", 0)
