"""The master's halves of the kinds that every node has, and what of the master they stand on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from outrider.exchange.credentials import Credentials
from outrider.exchange.keys import Keys
from outrider.kinds.builtin import AGENT_GROUPS, AGENT_INFO, CENSUS, GENERATIONS, IDENTITY, INTEGRITY, KEYS, REQUESTS
from outrider.kinds.interface import Kind, stateless
from outrider.master.agent_groups import AgentGroups
from outrider.master.agent_info import WorkerAgentInfo
from outrider.master.census import Census, States
from outrider.master.generations import Generations
from outrider.master.identity import Identity
from outrider.master.integrity import WorkerIntegrity
from outrider.master.requests import MasterRequests
from outrider.master.rotation import KeyRotation
from outrider.master.source import Source
from outrider.master.standings import Standings
from outrider.relay.handlers import Handlers


def builtin(
    source: Source, workers: States, calls: Handlers, keys: Keys, credentials: Credentials | None = None
) -> tuple[Kind, ...]:
    """``source`` is what workers are compared with, ``workers`` how each is, ``calls`` what requests may call.

    ``keys`` is what the links are sealed with; without ``credentials`` none is extended.
    """
    standings = Standings(source)
    return (
        replace(INTEGRITY, master=stateless(partial(WorkerIntegrity, source=source))),
        replace(AGENT_INFO, master=stateless(WorkerAgentInfo)),
        replace(AGENT_GROUPS, master=partial(AgentGroups, standings=standings, calls=calls)),
        replace(REQUESTS, master=partial(MasterRequests, calls=calls)),
        replace(GENERATIONS, master=partial(Generations, source=source, standings=standings, calls=calls)),
        replace(KEYS, master=partial(KeyRotation, keys=keys, calls=calls) if keys.held else None),
        replace(IDENTITY, master=None if credentials is None else partial(Identity, credentials=credentials)),
        replace(CENSUS, master=partial(Census, workers=workers)),
    )
