"""The databases: is each file whole, are the hashes of groups right, does a daemon answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.errors import OutriderError
from outrider.store.agents import GroupsQuery
from outrider.store.choice import agents_file, open_agents
from outrider.store.outbox import FILE as OUTBOX
from outrider.store.sqlite.examine import faults
from outrider.world import real_ports

_DAEMON_S = 10.0
_BACKUP = (
    "stop the node and put a backup in its place; or move it away: an empty one is made, and workers report their "
    "agents again, but the groups of agents are to be given anew"
)
_AGAIN = "stop the node and move it away: it makes a new one, and sends all agents once more"


def look(patient: Patient) -> Iterator[Finding]:
    """Every file that is there, and the daemon where one keeps the agents."""
    store = patient.settings.agents.store
    if store == "wazuh-db":
        yield _daemon(patient)
    files = {patient.settings.node.home / OUTBOX: _AGAIN}
    if store == "sqlite":
        files = {agents_file(patient.settings): _BACKUP, **files}
    for file, remedy in files.items():
        if file.exists():
            found = [Finding.bad("databases", f"{file}: {fault}", remedy) for fault in faults(file.resolve())]
            yield from found or [Finding.good("databases", f"{file} is whole")]


def _daemon(patient: Patient) -> Finding:
    socket = patient.settings.agents.wazuh_db_socket

    async def ask() -> None:
        agents = open_agents(patient.settings, real_ports(), {})
        try:
            async with asyncio.timeout(_DAEMON_S):
                await agents.groups(GroupsQuery())
        finally:
            await agents.close()

    try:
        asyncio.run(ask())
    except (OutriderError, TimeoutError) as error:
        why = str(error) or f"no answer within {_DAEMON_S:g} s"
        return Finding.bad("databases", f"wazuh-db at {socket}: {why}", "start wazuh-db, or set agents.wazuh_db_socket")
    return Finding.good("databases", f"wazuh-db at {socket} answers")
