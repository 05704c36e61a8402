"""The cluster as its master sees it: who is there, who was, where each stands. It changes nothing.

Who has left is remembered, so that somebody misses it: the last of them, as many as there may be connections. A master
that starts anew misses whom its home remembers, the workers that have spoken the extended protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import structs

from outrider.exchange.session import Session
from outrider.model import NodeInfo
from outrider.overview import NodeView, Overview, failures_of, syncs_of, view_of
from outrider.ports import Ports
from outrider.relay.handlers import Handlers
from outrider.settings import Live
from outrider.status import LinkState, Standing, Status
from outrider.store.peers import Peer


class Member(Protocol):
    """A worker on its connection, as much of it as is looked at."""

    info: NodeInfo
    last_keep_alive: float
    session: Session

    @property
    def status(self) -> Status:
        """What is recorded of its link."""
        ...


class Sight:
    """See the module. ``members`` gives the workers that are connected."""

    def __init__(
        self,
        node: NodeInfo,
        members: Callable[[], Sequence[Member]],
        *,
        live: Live,
        ports: Ports,
        status: Status,
    ) -> None:
        self._node = node
        self._members = members
        self._live = live
        self._ports = ports
        self._status = status
        self._gone: dict[str, NodeView] = {}  # in the order in which they went

    def offer(self, calls: Handlers) -> None:
        """Put ``outrider.cluster`` into the table."""
        calls.call("outrider.cluster", quick=True)(self.look)

    def expect(self, peers: Iterable[Peer]) -> None:
        """Whom this home remembers: a worker that has not come since is missed like one that has left."""
        for peer in peers:
            if peer.type == "worker":
                node = NodeInfo(name=peer.name, type=peer.type, version="", address=peer.address)
                reason = (
                    f"has not come since its master started; if it is gone for good: outrider peer forget {peer.name}"
                )
                self._miss(view_of(node, LinkState(reason=reason), Standing(reason=reason)))

    def left(self, member: Member, reason: str) -> None:
        """A worker that had joined is gone."""
        now = self._ports.wall()
        standing = structs.replace(member.status.standing, in_step=False, since=now, reason=reason)
        link = LinkState(since=now, reason=reason)
        self._miss(view_of(member.info, link, standing, keep_alive=self._heard(member)))

    def look(self) -> Overview:
        """The cluster now."""
        snapshot, here = self._status.snapshot(), {member.info.name: self._view(member) for member in self._members()}
        gone = [view for name, view in self._gone.items() if name not in here]
        itself = view_of(self._node, LinkState(connected=True), snapshot.standing, keep_alive=self._ports.wall())
        return Overview(
            cluster=self._live.now.node.cluster,
            told_by=self._node.name,
            at=self._ports.wall(),
            nodes=[itself, *here.values(), *gone],
            syncs=syncs_of(self._status, self._node.name),
            failures=failures_of(snapshot),
        )

    def _miss(self, view: NodeView) -> None:
        self._gone.pop(view.name, None)
        self._gone[view.name] = view
        if len(self._gone) > self._live.now.limits.connections:
            del self._gone[next(iter(self._gone))]

    def _view(self, member: Member) -> NodeView:
        status, extended = member.status, member.session.extended is not None
        standing = self._beside_ours(status.standing)
        return view_of(member.info, status.link, standing, keep_alive=self._heard(member), extended=extended)

    def _beside_ours(self, its: Standing) -> Standing:
        """Where a worker stands, seen from a tree that may have changed since it was last in step."""
        ours = self._status.standing
        moved = ours.root_since
        if its.root == ours.root:
            its = structs.replace(its, files=ours.files)
        if not its.in_step or moved is None:
            return its
        if its.number and its.number < ours.number:
            return structs.replace(its, in_step=False, since=moved, reason=f"takes generation {ours.number}")
        if not its.number and (its.checked or 0.0) < moved:
            return structs.replace(
                its, in_step=False, since=moved, reason="the files have changed since its last round"
            )
        return its

    def _heard(self, member: Member) -> float:
        return self._ports.wall() - (self._ports.monotonic() - member.last_keep_alive)
