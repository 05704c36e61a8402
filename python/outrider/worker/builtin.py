"""The worker's halves of the kinds that every node has."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from outrider.exchange.credentials import Credentials
from outrider.exchange.keys import Keys
from outrider.kinds.builtin import (
    AGENT_GROUPS,
    AGENT_INFO,
    AGENT_REGISTRATION,
    GENERATIONS,
    IDENTITY,
    INTEGRITY,
    KEYS,
    REQUESTS,
)
from outrider.kinds.interface import Kind, stateless
from outrider.relay.handlers import Handlers
from outrider.worker.agent_groups import AgentGroups
from outrider.worker.agent_info import AgentInfo
from outrider.worker.approval import Approval
from outrider.worker.generations import Generations
from outrider.worker.identity import Identity
from outrider.worker.integrity import Integrity
from outrider.worker.registered import RegisteredAgents
from outrider.worker.requests import WorkerRequests
from outrider.worker.rotation import KeyLearning


def builtin(calls: Handlers, keys: Keys, credentials: Credentials | None = None) -> tuple[Kind, ...]:
    """``calls`` is what requests may call, ``keys`` what the links are sealed with.

    Without ``credentials`` none is extended.
    """
    approval = Approval()
    return (
        replace(INTEGRITY, worker=stateless(partial(Integrity, approval=approval))),
        replace(AGENT_INFO, worker=AgentInfo),
        replace(AGENT_GROUPS, worker=stateless(AgentGroups)),
        replace(AGENT_REGISTRATION, worker=RegisteredAgents),
        replace(REQUESTS, worker=partial(WorkerRequests, calls=calls)),
        replace(IDENTITY, worker=None if credentials is None else partial(Identity, credentials=credentials)),
        replace(GENERATIONS, worker=partial(Generations, approval=approval, calls=calls)),
        replace(KEYS, worker=partial(KeyLearning, keys=keys, calls=calls) if keys.held else None),
    )
