"""The nouns of the cluster. Files, trees and plans are defined once, in the native core."""

from __future__ import annotations

from msgspec import Struct

from outrider._native import Entry, Manifest, Plan, diff

__all__ = ["Entry", "Manifest", "NodeInfo", "Plan", "diff", "endpoint"]


class NodeInfo(Struct, frozen=True, kw_only=True):
    """One node of the cluster, as it introduced itself; ``type`` is ``worker`` or ``master``."""

    name: str
    type: str
    version: str
    address: str


def endpoint(host: str, port: int) -> str:
    """An address and a port as people write them: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
