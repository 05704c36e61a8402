"""Real nodes beside daemons that outlive them: a worker killed between an answer and its outbox loses no agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.memory_agents import MemoryAgents
from tests.support.processes import Node, free_port, nodes
from tests.support.wazuh_db import WazuhDbDaemon
from tests.support.wazuh_db_store import StoreAnswers

from outrider.model import AgentInfo

AGENTS = 3_000
READ = b"global sync-agent-info-get "
AGAIN = b"global sql update agent set sync_status='syncreq'"


class Deadly(StoreAnswers):
    """Has ``kill`` called at the third part of its agents: before it is sent, or as soon as it is."""

    def __init__(self, store: MemoryAgents, kill: Callable[[], None], *, sent: bool) -> None:
        super().__init__(store)
        self._kill = kill
        self._sent = sent
        self._reads = 0

    async def __call__(self, request: bytes) -> Sequence[bytes]:
        answer = await super().__call__(request)
        self._reads += request.startswith(READ)
        if request.startswith(READ) and self._reads == 3:
            if self._sent:
                asyncio.get_running_loop().call_soon(self._kill)  # the answer is written in this same step
            else:
                self._kill()
        return answer


def changed() -> MemoryAgents:
    store = MemoryAgents()
    store.agents = {
        number: AgentInfo(id=number, name=f"agent-{number}", connection_status="active", os_uname="x" * 300)
        for number in range(1, AGENTS + 1)
    }
    store.changed = set(store.agents)
    return store


@pytest.mark.parametrize("sent", [False, True], ids=["never-sent", "sent"])
def test_a_worker_killed_between_a_daemon_s_answer_and_its_outbox_loses_no_agent(tmp_path: Path, *, sent: bool) -> None:
    port = free_port()
    master, worker = (
        Node(role, tmp_path / role, port=port, agents={"store": "wazuh-db", "wazuh_db_socket": "wdb"})
        for role in ("master", "worker")
    )
    theirs, ours = MemoryAgents(), changed()

    async def story() -> None:
        async with (
            WazuhDbDaemon(master.home / "wdb", StoreAnswers(theirs)),
            WazuhDbDaemon(worker.home / "wdb", Deadly(ours, worker.kill, sent=sent)) as beside,
        ):
            worker.start()
            await asyncio.to_thread(worker.wait)
            assert beside.requests.count(READ + b"{}") == 3
            assert len(ours.changed) == 0  # the daemon counts them all as sent, and two parts at most were
            assert len(theirs.agents) < AGENTS
            worker.start()
            async with asyncio.timeout(30):
                while theirs.agents != ours.agents:  # noqa: ASYNC110  (a store in memory calls nobody)
                    await asyncio.sleep(0.05)
            assert sum(request.startswith(AGAIN) for request in beside.requests) == 2  # at each start

    with nodes(master):
        try:
            asyncio.run(story())
        finally:
            worker.kill()
    assert master.said("Traceback") == worker.said("Traceback") == 0
