"""The port that the agent tasks speak to: what this node knows of agents and their groups (specification 6.3, 6.4).

Behind it stands a file of ours, a running wazuh-db, or what a host brings. Every method may wait,
none blocks the event loop; :class:`StoreBusyError` says that the same may work later,
:class:`RecordsRefused` that it never will.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from outrider.model import AgentInfo, GroupAssignment, GroupMode, SyncStatus


class AgentsPart(NamedTuple):
    """Some of the agents whose information is still to be sent, by ascending id; ``more`` says to ask again."""

    agents: Sequence[AgentInfo]
    more: bool


class GroupsQuery(NamedTuple):
    """Which assignments are wanted.

    ``condition``: every agent, those whose groups are still to be sent, or none at all; ``after``: only
    ids above this one; ``set_synced``: what is handed out counts as sent; ``with_hash``: the hash over
    all agents' groups is wanted too; ``registered_before_s``: only agents that have been known for more
    seconds than this, ``None`` for all.
    """

    condition: Literal["all", "sync_status"] | None = None
    after: int = 0
    set_synced: bool = False
    with_hash: bool = False
    registered_before_s: int | None = None


class GroupsPart(NamedTuple):
    """Some of the assignments asked for, by ascending id; ``more`` says to ask again after the last of them.

    ``hash`` comes with the last part: 40 hex digits, or ``None`` if no agent has a group or it was not asked for.
    """

    assignments: Sequence[GroupAssignment]
    more: bool
    hash: str | None = None


class RegisteredAgent(NamedTuple):
    """An agent as ``etc/client.keys`` names it."""

    id: int
    name: str
    ip: str


class AgentStore(Protocol):
    """See the module."""

    # agent information

    async def changed_agents(self) -> AgentsPart:
        """Agents whose information changed since it was last taken; asked by one caller at a time."""
        ...

    async def taken(self, agents: Sequence[AgentInfo]) -> None:
        """These lie safely elsewhere now: they have changed no more, unless they changed again meanwhile."""
        ...

    async def send_all_again(self) -> None:
        """Count every agent as changed."""
        ...

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        """Keep what another node says of its agents, as already sent. :class:`RecordsRefused` names the bad one."""
        ...

    async def register(self, agents: Sequence[RegisteredAgent]) -> None:
        """Learn which agents exist; what is known of them otherwise stays."""
        ...

    # groups

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        """Assignments, a bounded part of them."""
        ...

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        """Change assignments. All that can be are, then :class:`RecordsRefused` names those that could not."""
        ...

    async def recalculate_hashes(self) -> None:
        """Compute each agent's group hash again."""
        ...

    async def close(self) -> None:
        """Free everything; called once."""
        ...


@runtime_checkable
class TellsOfGroups(Protocol):
    """A store that says when somebody changed assignments through it; what no store tells leaves at the interval."""

    def when_groups_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener``, which does not block, after each change that is still to be sent."""
        ...


class Numbers(NamedTuple):
    """How many agents there are, by their connection status (``""``: nothing was said of them yet), and groups."""

    agents: Mapping[str, int]
    groups: int


@runtime_checkable
class CountsAll(Protocol):
    """A store that can say how many agents and groups it holds; the store of a file of ours is one."""

    async def numbers(self) -> Numbers:
        """How many agents and groups there are."""
        ...
