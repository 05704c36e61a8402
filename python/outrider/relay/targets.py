"""Which nodes a distributed request is for, and what each of them is asked (specification 5.9, route 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, structs

from outrider.errors import Refusal
from outrider.protocol import faults
from outrider.protocol.api import Request
from outrider.relay.context import AgentLister

_NODES: Final = ("node_id", "node_list")
_AGENTS: Final = ("agent_id", "agent_list")
_AGENT_ID: Final = re.compile(r"[0-9]{1,10}")
_NOWHERE: Final = (None, "", "unknown")
"""What stands in place of a node for an agent that has never been at one."""


class Targets(Struct, frozen=True):
    """A request for each node, by its name; ``one`` if a single node was named, whose answer then stands as it is."""

    requests: dict[str, Request]
    one: bool


class TooManyNodes(Refusal):
    """A request names more nodes than a master can have."""


def runs_here(request: Request, *, at_master: bool) -> bool:
    """The rule of 5.9 for the node where a request has come in."""
    if request.request_type == "distributed_master":
        return request.from_cluster
    return at_master or request.request_type == "local_any"


async def targets_of(request: Request, connected: Sequence[str], agents: AgentLister | None, most: int) -> Targets:
    """Share ``request`` among nodes; ``connected`` names all, the master first, and no cluster has more than ``most``.

    If it names agents, those nodes are asked to which they belong, each for its own. Otherwise the nodes that it names
    in ``node_id``, ``node_list`` or ``nodes`` are, whether they are connected or not, and if it names none, all.
    :class:`TooManyNodes` if it names more than there can be: each costs an answer.
    """
    named = _words(request.f_kwargs, _NODES) or list(request.nodes)
    if len(named) > most:
        raise TooManyNodes(
            faults.INTERNAL, f"a request for {len(named)} nodes: there are {most} at most (limits.connections)"
        )
    rest = {name: value for name, value in request.f_kwargs.items() if name not in _NODES}
    if ids := _words(request.f_kwargs, _AGENTS):
        shares = await _by_node(ids, connected[0], agents)
        asked = {node: _reduced(rest, of_node) for node, of_node in shares.items()}
    else:
        asked = dict.fromkeys(named or connected, rest)
    requests = {
        node: structs.replace(request, f_kwargs=arguments, from_cluster=True) for node, arguments in asked.items()
    }
    return Targets(requests, one=len(named) == 1 and not ids)


def _words(arguments: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The texts of an argument that is one or a list; ``all`` and ``*`` name nobody."""
    for name in names:
        value = arguments.get(name)
        words: list[Any] = value if isinstance(value, list) else [value]
        if value and all(isinstance(word, str) for word in words):
            return [] if set(words) & {"all", "*"} else list(dict.fromkeys(words))
    return []


async def _by_node(ids: Sequence[str], master: str, agents: AgentLister | None) -> dict[str, list[str]]:
    """The ids by node. What no node is known for stays with the master, which says so; ``000`` is the master itself."""
    if agents is None:
        raise Refusal(
            faults.INTERNAL, "this master's store cannot say to which nodes agents belong: agents.store = sqlite can"
        )
    numbers = {id_: int(id_) for id_ in ids if _AGENT_ID.fullmatch(id_)}
    wanted = set(numbers.values())
    homes: dict[int, str | None] = {}
    after, more = 0, True
    while more:
        part = await agents.agents(after)
        homes |= {one.id: one.info.node_name for one in part.agents if one.id in wanted and one.info is not None}
        more = part.more and bool(part.agents)
        after = part.agents[-1].id if part.agents else 0
    shares: dict[str, list[str]] = {}
    for id_ in ids:
        home = homes.get(numbers.get(id_, 0))
        shares.setdefault(master if home in _NOWHERE else home, []).append(id_)
    return shares


def _reduced(arguments: Mapping[str, Any], ids: list[str]) -> dict[str, Any]:
    """The arguments with the agents of one node."""
    reduced = {name: value for name, value in arguments.items() if name not in _AGENTS}
    if "agent_list" in arguments:
        return {**reduced, "agent_list": ids}
    return {**reduced, "agent_id": ids[0]}
