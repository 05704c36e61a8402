"""The cluster as one node sees it at one moment: what the page and ``outrider.cluster`` show. Values only."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, structs

from outrider.model import NodeInfo
from outrider.status import Failure, LinkState, Snapshot, Standing, Status

_MOVE_FILES: Final = ("integrity", "integrity_sync")
"""The kinds whose rounds may bring files."""


class NodeView(Struct, frozen=True, kw_only=True):
    """One node. ``connected`` of the node that tells is whether it has what it needs: a worker its master.

    ``since`` is when that last changed, ``keep_alive`` when it was last heard of: Unix seconds. ``reason`` says why it
    is not connected; ``extended`` whether it speaks the extended protocol with the master that tells.
    """

    name: str
    type: str
    version: str
    address: str
    connected: bool
    standing: Standing
    since: float | None = None
    keep_alive: float | None = None
    reason: str = ""
    extended: bool = False

    @property
    def in_step(self) -> bool:
        """Whether it is there, and its tree is the master's."""
        return self.connected and self.standing.in_step

    @property
    def why_not(self) -> str:
        """Why it is not in step; empty if it is."""
        if not self.connected:
            return self.reason or "it is not connected"
        return "" if self.standing.in_step else self.standing.reason


class Sync(Struct, frozen=True, kw_only=True):
    """Files that came to a node: when that began (Unix seconds), how long it took, bytes that travelled and did not."""

    node: str
    at: float
    seconds: float
    bytes: int
    saved: int
    ok: bool


class Overview(Struct, frozen=True, kw_only=True):
    """All nodes, the one that tells first; ``at`` is its clock, Unix seconds. ``missing`` says whom it cannot show."""

    cluster: str
    told_by: str
    at: float
    nodes: list[NodeView]
    syncs: list[Sync]
    failures: list[Failure]
    missing: str = ""


def syncs_of(status: Status, node: str) -> list[Sync]:
    """The last rounds that brought files, to ``node`` unless they were with a peer."""
    syncs = [
        Sync(
            node=one.peer or node,
            at=one.outcome.started,
            seconds=one.outcome.seconds,
            bytes=one.outcome.bytes,
            saved=one.outcome.saved,
            ok=one.outcome.ok,
        )
        for kind in _MOVE_FILES
        for one in status.history(kind)
        if any(one.outcome.counts.values())
    ]
    return sorted(syncs, key=lambda one: one.at)


def view_of(node: NodeInfo, link: LinkState, standing: Standing, **more: float | str | bool | None) -> NodeView:
    """A node whose link is ``link``."""
    known = NodeView(
        name=node.name,
        type=node.type,
        version=node.version,
        address=node.address,
        connected=link.connected,
        since=link.since,
        reason=link.reason,
        standing=standing,
    )
    return structs.replace(known, **more)


def failures_of(snapshot: Snapshot) -> list[Failure]:
    """The last failures, the latest first."""
    return sorted(snapshot.failures, key=lambda one: -one.at)
