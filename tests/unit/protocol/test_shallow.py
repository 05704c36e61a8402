"""Whatever reads a peer's JSON or MessagePack: nested too deep, it is a ValueError as any other bytes that are none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from outrider.protocol import agents, faults, joining, rotation
from outrider.protocol import generations as g
from outrider.protocol.abilities import Abilities

READERS: dict[str, Callable[[bytes], Any]] = {
    "abilities": Abilities.decode,
    "a result": agents.decode_result,
    "a fault": faults.parse_fault,
    "a request to join": partial(joining.decode, kind=joining.Join),
    "a certificate": partial(joining.decode, kind=joining.Granted),
    "which keys a worker holds": rotation.decode_standing,
    "what to do with keys": rotation.decode_order,
    "where a worker stands": g.decode_standing,
    "a master's answer": g.decode_answer,
    "a question for a part": g.decode_read,
    "that a generation is taken": g.decode_done,
}
DEEP = 100_000
BYTES = [b"[" * DEEP, b'{"x":' * DEEP, b'{"x": ' + b"[" * DEEP, b"\x91" * DEEP, b"\x93\x01" + b"\x91" * DEEP]


@pytest.mark.parametrize("payload", BYTES, ids=lambda payload: repr(payload[:8]))
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_threat_06_what_is_nested_too_deep_is_a_value_error(read: Callable[[bytes], Any], payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"deep|Expected|malformed|Invalid|Extra data|JSON|Expecting|decode byte"):
        read(payload)
