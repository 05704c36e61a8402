"""A real process is killed in the middle of a batch of agents; the file holds the batches before it, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.support.sqlite_store import with_store

from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore

BATCH = 200
WRITER = f"""
import asyncio, sys
from pathlib import Path
from tests.support.sqlite_store import full_agent, open_store
from outrider.model import GroupAssignment

async def write():
    store = open_store(Path(sys.argv[1]))
    ids = range(1, {BATCH} + 1)
    version = int(sys.argv[2])
    while True:
        version += 1
        await store.put([full_agent(number, status_code=version) for number in ids])
        print(version, flush=True)
        await store.set_groups([GroupAssignment(number, (f"v{{version}}",)) for number in ids], status="syncreq")

asyncio.run(write())
"""


def test_a_batch_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    chance = random.Random(46)
    told = 0
    for _ in range(6):
        told = _killed_while_writing(tmp_path, told, after_s=chance.uniform(0.0, 0.05))
        found, grouped = with_store(tmp_path, _versions)
        assert found in ({told}, {told + 1})  # the last batch may have been written before it could be told
        assert grouped in ({f"v{told - 1}"}, {f"v{told}"})
        told = found.pop()


def _killed_while_writing(home: Path, version: int, *, after_s: float) -> int:
    """Write until some batches are done and a moment has passed, then die; the last version that was told."""
    command = [sys.executable, "-c", WRITER, str(home), str(version)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout
        for _ in range(3):
            version = int(writer.stdout.readline())
        time.sleep(after_s)
        writer.kill()
        rest = writer.stdout.read().split()
    return int(rest[-1]) if rest else version


async def _versions(store: SqliteStore) -> tuple[set[int], set[str]]:
    """Which versions there are of the agents' information and of their groups; one each, if batches are whole."""
    agents = (await store.agents()).agents
    assert len(agents) == BATCH
    groups = (await store.groups(GroupsQuery("all"))).assignments
    versions = {each.info.status_code or 0 for each in agents if each.info}
    return versions, {name for each in groups for name in each.groups}
