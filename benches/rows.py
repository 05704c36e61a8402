"""One claim: our figure and a peer's, taken in the same run, and what we want to reach."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """``ours_s`` and ``peer_s`` are medians in seconds, or in ``unit``; ``target`` is the claim in words."""

    name: str
    ours_s: float
    peer: str
    peer_s: float
    target: str
    unit: str = "s"


def within(name: str, *, lag_ms: float, allowed_ms: float, grown_mib: float, allowed_mib: float) -> list[Row]:
    """What a node's event loop and memory went through beside what they may."""
    return [
        Row(f"{name}: the loop's lag", lag_ms / 1e3, "allowed", allowed_ms / 1e3, f"<= {allowed_ms:.0f} ms"),
        Row(f"{name}: above idle", grown_mib, "allowed", allowed_mib, f"<= {allowed_mib:.0f} MiB", "MiB"),
    ]
