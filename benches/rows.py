"""One claim: our time and a peer's, taken in the same run, and what we want to reach."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """``ours_s`` and ``peer_s`` are medians in seconds; ``target`` is the claim in words."""

    name: str
    ours_s: float
    peer: str
    peer_s: float
    target: str
