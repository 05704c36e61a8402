"""The worker's halves of the kinds that every node has."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from outrider.kinds.builtin import AGENT_GROUPS, AGENT_INFO, AGENT_REGISTRATION, GENERATIONS, INTEGRITY, REQUESTS
from outrider.kinds.interface import Kind, stateless
from outrider.relay.handlers import Handlers
from outrider.worker.agent_groups import AgentGroups
from outrider.worker.agent_info import AgentInfo
from outrider.worker.generations import Generations
from outrider.worker.integrity import Integrity
from outrider.worker.registered import RegisteredAgents
from outrider.worker.requests import WorkerRequests


def builtin(calls: Handlers) -> tuple[Kind, ...]:
    """``calls`` is what requests may call."""
    return (
        replace(INTEGRITY, worker=stateless(Integrity)),
        replace(AGENT_INFO, worker=AgentInfo),
        replace(AGENT_GROUPS, worker=stateless(AgentGroups)),
        replace(AGENT_REGISTRATION, worker=RegisteredAgents),
        replace(REQUESTS, worker=partial(WorkerRequests, calls=calls)),
        replace(GENERATIONS, worker=partial(Generations, calls=calls)),
    )
