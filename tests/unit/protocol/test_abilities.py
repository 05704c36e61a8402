"""The probe and its answer: what is ignored, what is refused, and which nodes find each other."""

from __future__ import annotations

import json

import pytest

from outrider.protocol.abilities import PROTOCOL, TLS, Abilities, Agreement, Range, agree
from outrider.protocol.commands import PROBE, START_TLS
from outrider.protocol.frame import NAME_BYTES

OURS = Abilities(protocol=PROTOCOL, version="0.1.0", node="worker1", features=(TLS,), certificate="PEM")


def of(least: int, most: int, *features: str) -> Abilities:
    return Abilities(protocol=Range(least, most), version="9", node="n", features=features)


def test_both_names_fit_an_old_header() -> None:
    assert max(len(PROBE.name), len(START_TLS.name)) <= NAME_BYTES


def test_the_probe_is_json_with_these_names() -> None:
    assert json.loads(OURS.encode()) == {
        "protocol": {"least": 1, "most": 1},
        "version": "0.1.0",
        "node": "worker1",
        "features": [TLS],
        "certificate": "PEM",
    }


def test_threat_45_fields_that_this_version_does_not_know_are_ignored() -> None:
    later = {**json.loads(OURS.encode()), "weather": {"sky": "blue"}}
    later["protocol"]["preferred"] = 1
    later["features"].append("teleport")
    assert Abilities.decode(json.dumps(later).encode()).node == "worker1"


@pytest.mark.parametrize(
    ("ours", "theirs", "number"),
    [((1, 1), (1, 2), 1), ((2, 3), (1, 2), 2), ((2, 3), (2, 3), 3), ((1, 1), (2, 3), None), ((4, 5), (1, 3), None)],
)
def test_threat_45_ranges_that_overlap_give_the_highest_common_number(
    ours: tuple[int, int], theirs: tuple[int, int], number: int | None
) -> None:
    agreement = agree(of(*ours, TLS, "generations"), of(*theirs, TLS, "teleport"))
    assert agreement == (None if number is None else Agreement(number=number, features=frozenset({TLS})))


def test_without_tls_at_both_ends_the_link_stays_with_the_base_protocol() -> None:
    assert agree(of(1, 1, TLS), of(1, 1, "generations")) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"protocol": 1, "version": "1", "node": "n"}',
        b'{"protocol": {"least": 0, "most": 1}, "version": "1", "node": "n"}',
        b'{"protocol": {"least": 1, "most": 99999999999}, "version": "1", "node": "n"}',
        b'{"protocol": {"least": 1, "most": 1}, "version": "1"}',
        b'{"protocol": {"least": 1, "most": 1}, "version": "1", "node": "' + b"n" * 129 + b'"}',
        b'{"protocol": {"least": 1, "most": 1}, "version": "1", "node": "n", "features": [' + b'"x",' * 64 + b'"x"]}',
        b'{"protocol": {"least": 1, "most": 1}, "version": "1", "node": "n", "features": [1]}',
        b'{"protocol": {"least": 1, "most": 1}, "version": "1", "node": "n", "certificate": "' + b"x" * 20_000 + b'"}',
    ],
)
def test_anything_else_is_an_error_that_can_be_answered(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Abilities.decode(payload)
