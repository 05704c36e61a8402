"""A worker whose agents and groups live in a store of the program's own: here one JSON file, written whole.

Run it beside a master: ``python examples/own_store.py outrider.toml inventory.json``. The file holds agents by their
id, ``{"7": {"name": "web7", "ip": "192.0.2.7", "groups": []}}``: names go to the master, groups come from it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import outrider
from outrider import AgentInfo, GroupAssignment
from outrider.model import GroupMode, SyncStatus
from outrider.store.agents import AgentsPart, GroupsPart, GroupsQuery, RegisteredAgent


class Inventory:
    """An :class:`outrider.AgentStore` on a file. Its methods are called on the event loop, so the disk has a thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[int, dict[str, Any]] = {int(id_): row for id_, row in json.loads(file.read_text()).items()}
        self._unsent = set(self._rows)  # nothing says what an earlier run had sent, and sending twice harms nobody
        self._writing = asyncio.Lock()

    # agent information goes out

    async def changed_agents(self) -> AgentsPart:
        """Every agent that the master has not confirmed; a large inventory would give them in parts."""
        return AgentsPart([self._info(id_) for id_ in sorted(self._unsent)], more=False)

    async def taken(self, agents: Sequence[AgentInfo]) -> None:
        """These lie safely in the node's outbox; what has changed again meanwhile still has to go."""
        self._unsent -= {agent.id for agent in agents if agent == self._info(agent.id)}

    async def send_all_again(self) -> None:
        """The node cannot be sure what arrived, after a crash for example."""
        self._unsent = set(self._rows)

    # groups come in

    async def set_groups(
        self, assignments: Sequence[GroupAssignment], mode: GroupMode = "override", status: SyncStatus = "synced"
    ) -> None:
        """Take what the master says: a worker only ever gets the mode ``override`` and the status ``synced``."""
        del mode, status
        for one in assignments:
            self._rows.setdefault(one.id, {"name": f"agent{one.id}"})["groups"] = list(one.groups)
        await self._save()

    async def groups(self, query: GroupsQuery) -> GroupsPart:
        """A worker is asked for all groups, or for their hash alone, by which it compares itself with its master."""
        ids = [id_ for id_ in sorted(self._rows) if query.condition == "all" and id_ > query.after]
        assignments = [GroupAssignment(id_, tuple(self._rows[id_].get("groups", ()))) for id_ in ids]
        return GroupsPart(assignments, more=False, hash=self._hash() if query.with_hash else None)

    async def recalculate_hashes(self) -> None:
        """They are computed whenever they are asked for."""

    # what the node tells besides

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        """For masters: what a worker says of its agents."""
        for agent in agents:
            self._rows.setdefault(agent.id, {}).update(name=agent.name, ip=agent.ip)
        await self._save()

    async def register(self, agents: Sequence[RegisteredAgent]) -> None:
        """Which agents ``etc/client.keys`` names; this program knows better, from its own file."""

    async def close(self) -> None:
        """The node never calls this for a store of its host's: the host closes what it opened."""

    # the file

    def _info(self, id_: int) -> AgentInfo:
        row = self._rows[id_]
        return AgentInfo(id=id_, name=row["name"], ip=row.get("ip"), connection_status="never_connected")

    def _hash(self) -> str | None:
        """What both ends compare: over the groups of all agents that have some, by ascending id."""
        texts = [",".join(row["groups"]) for _, row in sorted(self._rows.items()) if row.get("groups")]
        digests = "".join(hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts)
        return hashlib.sha1(digests.encode(), usedforsecurity=False).hexdigest() if texts else None

    async def _save(self) -> None:
        async with self._writing:  # the last change has the last word
            await asyncio.to_thread(self._write, json.dumps(self._rows, indent=2))

    def _write(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text, "utf-8")
        fresh.replace(self._file)


async def run(config: str, inventory: str) -> None:
    """Run the node until SIGTERM or Ctrl-C."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with outrider.Worker(outrider.Settings.load(config), agents=Inventory(Path(inventory))):
        await ending.wait()


if __name__ == "__main__":
    try:
        asyncio.run(run(*sys.argv[1:3]))
    except outrider.SettingsError as error:
        sys.exit(str(error))
