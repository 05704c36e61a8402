"""A worker registers the agents of its ``etc/client.keys``, when it is there and when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.grounds import node_ground
from tests.support.sqlite_store import with_store

from outrider.errors import StoreBusyError
from outrider.settings import Settings
from outrider.store.agents import RegisteredAgent
from outrider.store.sqlite import SqliteStore
from outrider.worker.registered import RegisteredAgents
from outrider.world import real_ports


async def _names(store: SqliteStore) -> list[str]:
    return [each.info.name for each in (await store.agents()).agents if each.info]


def test_agents_are_registered_once_for_each_change_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = tmp_path / "etc" / "client.keys"

    async def story(store: SqliteStore) -> None:
        calls: list[int] = []
        done = asyncio.Event()

        class Counting:
            async def register(self, agents: Sequence[RegisteredAgent]) -> None:
                calls.append(len(agents))
                if len(calls) == 1:
                    raise StoreBusyError("locked")
                await store.register(agents)
                done.set()

        settings = Settings.from_mapping({"node": {"home": str(tmp_path)}})
        registered = RegisteredAgents(node_ground(real_ports(), settings=settings, agents=Counting()))
        await registered.look()
        assert calls == []
        keys.parent.mkdir()
        keys.write_text("001 one any secret\nnonsense\n", "utf-8")
        with pytest.raises(StoreBusyError):
            await registered.look()
        for _ in range(2):
            await registered.look()
        assert (calls, await _names(store)) == ([1, 1], ["one"])

        done.clear()
        running = asyncio.create_task(registered.run())
        keys.write_text("001 one any secret\n002 two any secret\n", "utf-8")
        registered.look_now()
        await asyncio.wait_for(done.wait(), 5)  # a look of its own accord would come after 10 s
        assert await _names(store) == ["one", "two"]
        running.cancel()

    with caplog.at_level("INFO"):
        with_store(tmp_path, story)
    assert "not as ID NAME IP KEY, the first is line 2" in caplog.text
    assert "secret" not in caplog.text
