"""Answers that wait to be taken: a few on their way, the rest in line, and no more bytes than allowed."""

from __future__ import annotations

import json
from collections.abc import Callable

from outrider.relay.held import Held
from outrider.relay.routes import Answer
from outrider.status import unheard


class Peer:
    """Takes answers when it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.taking: list[Callable[[], None]] = []

    def send(self, answer: Answer, taken: Callable[[], None]) -> None:
        self.bodies.append(answer.body)
        self.taking.append(taken)

    def take(self, number: int) -> None:
        for _ in range(number):
            self.taking.pop(0)()


def test_what_there_is_no_room_for_is_an_error_in_its_place_and_room_comes_back() -> None:
    hit: list[str] = []
    held, peer = Held(lambda: 100, hit.append), Peer()
    for _ in range(4):
        held.send(Answer(b"x" * 40), peer.send)
    assert peer.bodies[:2] == [b"x" * 40] * 2
    for late in peer.bodies[2:]:
        told = str(json.loads(late)["__wazuh_exception__"]["__object__"])
        assert "too many answers wait for you (limits.strings_total)" in told
    assert hit == ["limits.strings_total"] * 2
    peer.take(4)
    held.send(Answer(b"x" * 100), peer.send)
    assert peer.bodies[-1] == b"x" * 100


def test_a_few_are_sent_at_a_time_and_the_rest_in_their_order_as_they_are_taken() -> None:
    held, peer = Held(lambda: 10**6, unheard), Peer()
    for number in range(40):
        held.send(Answer(b"%d" % number), peer.send)
    assert len(peer.bodies) == 16
    peer.take(10)
    assert len(peer.bodies) == 26
    peer.take(30)
    assert peer.bodies == [b"%d" % number for number in range(40)]


def test_a_long_line_whose_answers_all_fail_at_once_is_no_deep_recursion() -> None:
    held, peer, failed = Held(lambda: 10**6, unheard), Peer(), list[bytes]()

    def fail(answer: Answer, taken: Callable[[], None]) -> None:
        failed.append(answer.body)
        taken()

    for number in range(16):
        held.send(Answer(b"%d" % number), peer.send)
    for number in range(5000):
        held.send(Answer(b"%d" % number), fail)
    assert not failed
    peer.take(1)
    assert len(failed) == 5000
