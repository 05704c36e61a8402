"""What a call may know of its node: values and ports, typed, none of them a secret and none a global."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from msgspec import Struct

from outrider.errors import Refusal
from outrider.model import NodeInfo
from outrider.ports import Ports
from outrider.protocol import faults
from outrider.settings import Settings
from outrider.status import Status
from outrider.store.sqlite.listing import ListingPart

OF_LOCAL: Final = "local client "
"""Callers that are programs of this machine begin so: no node can have such a name."""

if TYPE_CHECKING:  # the table's own face, for the call that lists it
    from outrider.relay.handlers import Handler


@runtime_checkable
class AgentLister(Protocol):
    """A store whose agents can be read; the store of a file of ours is one."""

    async def agents(self, after: int = 0) -> ListingPart:
        """Agents with their groups, ids above ``after``, by ascending id, a bounded part of them."""
        ...


class Context(Struct, frozen=True, kw_only=True):
    """The node that answers, and ``caller``, who asks: a peer's name or a local client's.

    ``nodes`` gives who is in the cluster as this node sees it, itself first; ``agents`` is ``None`` where no
    store is kept whose agents can be read.
    """

    node: NodeInfo
    settings: Settings
    status: Status
    ports: Ports
    nodes: Callable[[], Sequence[NodeInfo]]
    agents: AgentLister | None
    calls: Mapping[str, Handler]
    caller: str = ""

    def only_local(self) -> None:
        """:class:`Refusal` unless a program of this machine asks, at this node itself."""
        if not self.caller.startswith(OF_LOCAL):
            raise Refusal(faults.INTERNAL, "only programs on the machine of this node may ask for this")
