"""One link as a state machine: who may ask what, which frame answers which, what time does."""

from __future__ import annotations

import json
from random import Random

import pytest
from msgspec import structs
from tests.unit.protocol.links import LIMITS, SERVED, at, link, sent

from outrider.protocol.commands import ECHO, HELLO, NEW_STR
from outrider.protocol.connection import Connection, State
from outrider.protocol.events import Answered, Closed, Requested, TimedOut
from outrider.protocol.frame import Frame, pack_frame, pack_message
from outrider.protocol.seal import KeyRing, NoSeal


def test_a_request_is_an_event_and_its_reply_has_its_counter() -> None:
    connection = link()
    assert connection.receive(pack_frame(9, b"echo", b"hi"), at(0)) == [Requested(9, ECHO, b"hi")]
    connection.reply(9, b"ok", b"hi", at(0))
    assert connection.bytes_to_send() == pack_frame(9, b"ok", b"hi")
    assert connection.bytes_to_send() == b""


def test_counters_go_up_by_one_and_wrap() -> None:
    connection = link()
    first = connection.request(ECHO, b"", at(0), 20)
    assert connection.request(ECHO, b"", at(0), 20) == (first + 1) % 2**32
    connection._counter = 2**32 - 1
    assert connection.request(ECHO, b"", at(0), 20) == 0
    assert [frame.counter for frame in sent(connection)] == [first, first + 1, 0]


def test_we_start_far_from_the_peers_counter() -> None:
    for seed in range(200):
        for peer in (0, 5, 2**31, 2**32 - 1):
            connection = link(seed=seed)
            connection.receive(pack_frame(peer, b"echo", b""), at(0))
            ahead = (connection.request(ECHO, b"", at(0), 20) - peer) % 2**32
            assert 2**31 <= ahead <= 2**31 + 2**30


@pytest.mark.parametrize("name", [b"ok", b"err", b"ok-m", b"ok-c", b"ok ", b"strange"])
def test_an_outstanding_counter_makes_an_answer(name: bytes) -> None:
    connection = link()
    counter = connection.request(ECHO, b"x", at(0), 20)
    assert connection.receive(pack_frame(counter, name, b"y"), at(1)) == [Answered(counter, name.strip(), b"y")]
    assert connection.next_deadline() is None


@pytest.mark.parametrize("name", [b"ok", b"err", b"ok-m", b"ok-c"])
def test_an_answer_to_nothing_is_dropped_in_silence(name: bytes) -> None:
    connection = link()
    sent(connection)
    assert connection.receive(pack_frame(77, name, b"unknown command 'b'err''"), at(0)) == []
    assert connection.bytes_to_send() == b""
    assert connection.dropped_answers == 1


def test_a_peers_request_under_our_counter_is_still_a_request() -> None:
    connection = link()
    counter = connection.request(ECHO, b"", at(0), 20)
    assert connection.receive(pack_frame(counter, b"new_str", b"5"), at(1)) == [Requested(counter, NEW_STR, b"5")]
    assert connection.receive(pack_frame(counter, b"ok", b""), at(2)) == [Answered(counter, b"ok", b"")]


def test_a_request_times_out_and_its_late_answer_is_dropped_once() -> None:
    connection = link()
    slow = connection.request(ECHO, b"", at(0), 20)
    slower = connection.request(ECHO, b"", at(1), 20)
    sent(connection)
    assert connection.next_deadline() == 20
    assert connection.tick(at(19.9)) == []
    assert connection.tick(at(20)) == [TimedOut(slow)]
    assert connection.next_deadline() == 21
    assert connection.receive(pack_frame(slow, b"ok", b"late"), at(20.5)) == []
    assert connection.dropped_answers == 0
    assert connection.receive(pack_frame(slow, b"echo", b"fresh"), at(20.6)) == [Requested(slow, ECHO, b"fresh")]
    assert connection.receive(pack_frame(slower, b"ok", b""), at(20.7)) == [Answered(slower, b"ok", b"")]
    assert connection.tick(at(100)) == []


def test_expired_counters_do_not_pile_up() -> None:
    connection = link()
    for _ in range(5000):
        connection.request(ECHO, b"", at(0), 1)
    assert len(connection.tick(at(2))) == 5000
    assert len(connection._expired) == 1024
    assert connection.next_deadline() is None


def test_an_unknown_command_gets_the_originals_words() -> None:
    connection = link()
    for name in (b"foo", b"echo-c", b"dapi", b"syn_m_c"):
        assert connection.receive(pack_frame(3, name, b"bar"), at(0)) == []
        assert sent(connection) == [Frame(3, b"err", False, b"unknown command 'b'%b''" % name)]


def test_a_nameless_frame_is_an_unknown_command() -> None:
    connection = link()
    connection.receive(b"\0\0\0\1\0\0\0\0            ", at(0))
    assert sent(connection) == [Frame(1, b"err", False, b"unknown command 'b'''")]


def test_threat_20_before_hello_only_echo_and_hello_are_served() -> None:
    connection = link(known=False)
    assert connection.receive(pack_frame(1, b"echo", b"hi"), at(0)) == [Requested(1, ECHO, b"hi")]
    assert connection.receive(pack_frame(2, b"new_str", b"5"), at(0)) == []
    (frame,) = sent(connection)
    fault = json.loads(frame.payload)["__wazuh_exception__"]["__object__"]
    assert (frame.counter, frame.name, fault["code"]) == (2, b"err", 1000)
    assert fault["extra_message"] == "new_str comes before hello: say hello first"
    assert connection.receive(pack_frame(3, b"hello", b"me"), at(0)) == [Requested(3, HELLO, b"me")]
    connection.known()
    assert connection.receive(pack_frame(4, b"new_str", b"5"), at(0)) == [Requested(4, NEW_STR, b"5")]


def test_a_master_may_ask_in_the_breath_in_which_it_says_ok_to_hello() -> None:
    connection = link(known=False)
    counter = connection.request(HELLO, b"worker1 wazuh worker 4.9.2", at(0), 20)
    both = pack_frame(counter, b"ok", b"Client worker1 added") + pack_frame(5, b"new_str", bytes(2000))
    assert connection.receive(both, at(0)) == [
        Answered(counter, b"ok", b"Client worker1 added"),
        Requested(5, NEW_STR, bytes(2000)),
    ]


def test_a_refused_hello_leaves_the_peer_unknown() -> None:
    connection = link(known=False)
    counter = connection.request(HELLO, b"worker1 wazuh worker 4.9.2", at(0), 20)
    connection.receive(pack_frame(counter, b"err", b"no"), at(0))
    assert connection.state is State.ANONYMOUS


def test_threat_03_the_handshake_has_a_deadline_from_the_start() -> None:
    connection = link(known=False, handshake_deadline=20)
    assert connection.next_deadline() == 20
    connection.receive(pack_frame(1, b"echo", b""), at(19))
    assert connection.tick(at(19.9)) == []
    assert connection.tick(at(20)) == [
        Closed("no hello within the handshake deadline (limits.handshake_deadline_s)", "limits.handshake_deadline_s")
    ]
    assert connection.state is State.CLOSED
    known = link(handshake_deadline=20)
    assert known.next_deadline() is None
    assert known.tick(at(30)) == []


def test_a_closed_connection_takes_and_sends_nothing() -> None:
    connection = link()
    connection.close()
    assert connection.receive(pack_frame(1, b"echo", b"hi"), at(0)) == []
    connection.reply(1, b"ok", b"", at(0))
    assert connection.bytes_to_send() == b""


def test_a_payload_that_does_not_open_ends_the_link_without_an_answer() -> None:
    connection = link(known=False, seal=KeyRing([b"a" * 32]))
    stranger = KeyRing([b"b" * 32]).seal(b"hi", 0)
    (event,) = connection.receive(pack_frame(1, b"echo", stranger) + pack_frame(2, b"foo", b""), at(0))
    assert isinstance(event, Closed)
    assert "cluster keys differ" in event.reason
    assert connection.bytes_to_send() == b""


def talk(asking: Connection, answering: Connection, payload: bytes) -> bytes:
    counter = asking.request(ECHO, payload, at(0), 20)
    (asked,) = answering.receive(asking.bytes_to_send(), at(0))
    assert isinstance(asked, Requested)
    answering.reply(asked.counter, b"ok", asked.payload, at(0))
    (answered,) = asking.receive(answering.bytes_to_send(), at(0))
    assert answered == Answered(counter, b"ok", payload)
    return payload


def test_two_connections_talk_without_a_socket() -> None:
    ring = KeyRing([b"a" * 32])
    left, right = link(seal=ring, seed=1), link(seal=ring, seed=2)
    for payload in (b"", b"hi", bytes(3000)):
        talk(left, right, payload)
        talk(right, left, payload)


def test_parts_of_two_messages_may_be_interleaved() -> None:
    connection = link()
    one = pack_message(1, b"echo", b"a" * 100, 100, part_bytes=40)
    two = pack_message(2, b"file_upd", b"b" * 50, 50, part_bytes=25)
    events = connection.receive(one[:60] + two[:45] + one[60:120] + two[45:] + one[120:], at(0))
    assert events == [
        Requested(2, events[0].command, b"b" * 50),  # type: ignore[union-attr]
        Requested(1, ECHO, b"a" * 100),
    ]


def test_a_divided_answer_is_one_answer() -> None:
    connection = link()
    counter = connection.request(ECHO, b"", at(0), 20)
    answer = pack_message(counter, b"ok", bytes(range(100)), 100, part_bytes=44)
    assert connection.receive(answer, at(0)) == [Answered(counter, b"ok", bytes(range(100)))]


def test_other_limits_hold_from_the_next_frame_on_and_spare_the_one_that_has_begun() -> None:
    limits = [LIMITS]
    connection = Connection(NoSeal(), Random(1), serves=SERVED, limits=lambda: limits[-1])
    connection.known()
    large = pack_frame(7, b"echo", b"x" * 5000)
    assert connection.receive(large[:100], at(0)) == []
    limits.append(structs.replace(LIMITS, frame_bytes=4000))
    (taken,) = connection.receive(large[100:], at(1))
    assert isinstance(taken, Requested)
    (broken,) = connection.receive(large, at(2))
    assert isinstance(broken, Closed)
    assert broken.limit == "limits.frame_bytes"
    assert "the limit here is 4000" in broken.reason
