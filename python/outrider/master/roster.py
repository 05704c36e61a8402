"""Who is connected: one connection for each name, and who may not come in (specification 5.1)."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from outrider.errors import Refusal
from outrider.model import NodeInfo
from outrider.protocol import faults
from outrider.protocol.bodies import Hello


class Member(Protocol):
    """What the roster keeps: something that has introduced itself."""

    info: NodeInfo


M = TypeVar("M", bound=Member)


class Roster(Generic[M]):
    """The workers of a master, by name. ``own`` is the master itself."""

    def __init__(self, own: NodeInfo, cluster: str) -> None:
        self._own = own
        self._cluster = cluster
        self._members: dict[str, M] = {}

    def __len__(self) -> int:
        """How many workers are connected."""
        return len(self._members)

    def members(self) -> list[M]:
        """All of them, in the order in which they came."""
        return list(self._members.values())

    def get(self, name: str) -> M | None:
        """The one with this name."""
        return self._members.get(name)

    def check(self, hello: Hello) -> None:
        """Refuse whoever cannot be a member here, with the code that says why."""
        if hello.node == self._own.name:
            raise Refusal(faults.MASTERS_NAME)
        if hello.cluster != self._cluster:
            raise Refusal(faults.OTHER_CLUSTER)
        if hello.version != self._own.version:
            raise Refusal(faults.OTHER_VERSION)

    def join(self, member: M, info: NodeInfo) -> None:
        """Add a member under its name; 3028 if that is taken."""
        if info.name in self._members:
            raise Refusal(faults.NAME_TAKEN, info.name)
        member.info = info
        self._members[info.name] = member

    def leave(self, member: M) -> None:
        """Remove a member, unless another has taken its name meanwhile."""
        if self._members.get(member.info.name) is member:
            del self._members[member.info.name]
