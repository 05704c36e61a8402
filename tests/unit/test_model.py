"""The nouns."""

from __future__ import annotations

from outrider.model import endpoint


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert endpoint("192.0.2.1", 1516) == "192.0.2.1:1516"
    assert endpoint("::1", 1516) == "[::1]:1516"
    assert endpoint("master.example", 1516) == "master.example:1516"
