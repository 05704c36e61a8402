"""The adaptive limit of a container (specification 4.3)."""

from __future__ import annotations

from outrider.settings import CommunicationIntervals
from outrider.sync.size_limit import SizeLimit

MIB = 1024 * 1024
GIB = 1024 * MIB


def limit() -> SizeLimit:
    return SizeLimit(CommunicationIntervals)


def test_a_cancelled_send_shrinks_it_to_a_share_of_what_was_sent() -> None:
    size = limit()
    size.sent(100 * MIB, 120, cancelled=True)
    assert size.bytes == 80 * MIB
    size.sent(10 * MIB, 120, cancelled=True)
    assert size.bytes == 30 * MIB


def test_a_quick_send_lets_it_grow_up_to_the_most() -> None:
    size = limit()
    size.sent(100 * MIB, 120, cancelled=True)
    size.sent(1, 96, cancelled=False)
    assert size.bytes == 80 * MIB
    size.sent(1, 95.9, cancelled=False)
    assert size.bytes == 100 * MIB
    for _ in range(20):
        size.sent(1, 1, cancelled=False)
    assert size.bytes == GIB


def test_at_the_most_it_stays() -> None:
    size = limit()
    size.sent(GIB, 1, cancelled=False)
    assert size.bytes == GIB
