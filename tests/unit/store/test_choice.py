"""The settings choose the store; neither touches disk or socket before it is used."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import NoReturn

import pytest
from tests.support.memory_agents import MemoryAgents
from tests.support.sqlite_store import full_agent
from tests.support.wazuh_db import WazuhDbDaemon
from tests.support.wazuh_db_store import StoreAnswers

from outrider.errors import StoreBusyError, StoreError
from outrider.model import AgentInfo, GroupAssignment
from outrider.ports import Ports
from outrider.settings import Settings
from outrider.store.agents import AgentStore, GroupsQuery
from outrider.store.choice import StoreFactory, embedded, open_agents
from outrider.store.sqlite import SqliteStore
from outrider.store.wazuh_db import WazuhDb
from outrider.world import real_ports


def settings(home: Path, **agents: str) -> Settings:
    overrides = {f"agents.{name}": value for name, value in agents.items()}
    return Settings.load(None, {}, {"node.home": str(home), **overrides})


def failing(*_: object) -> NoReturn:
    raise RuntimeError("no licence")


def test_a_store_of_a_package_is_chosen_by_its_name_and_sees_no_key(tmp_path: Path) -> None:
    chosen = Settings.load(None, {}, {"node.home": str(tmp_path), "agents.store": "memory", "link.key": "k" * 32})

    def make(settings: Settings, _: Ports) -> AgentStore:
        assert settings.link.keys == []
        return memory

    memory = MemoryAgents()
    assert open_agents(chosen, real_ports(), {"memory": make}) is memory


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (failing, "agents.store = 'memory': the store cannot be made: no licence"),
        (lambda *_: None, "agents.store = 'memory': NoneType is no store, it has no changed_agents()"),
    ],
)
def test_threat_49_a_package_s_store_that_is_none_is_named(tmp_path: Path, make: StoreFactory, why: str) -> None:
    with pytest.raises(StoreError, match=re.escape(why)):
        open_agents(settings(tmp_path, store="memory"), real_ports(), {"memory": make})


async def opened(chosen: Settings) -> type[AgentStore]:
    store = open_agents(chosen, real_ports(), {})
    await store.close()
    return type(store)


def test_each_setting_has_its_store_and_opening_it_leaves_no_trace(tmp_path: Path) -> None:
    assert asyncio.run(opened(settings(tmp_path))) is SqliteStore
    assert asyncio.run(opened(settings(tmp_path, store="wazuh-db"))) is WazuhDb
    assert list(tmp_path.iterdir()) == []


def test_wazuh_db_is_looked_for_below_the_home_or_at_its_own_path(tmp_path: Path) -> None:
    async def story() -> None:
        for socket, path in (("a/wdb", tmp_path / "a/wdb"), (str(tmp_path / "b"), tmp_path / "b")):
            store = open_agents(settings(tmp_path, store="wazuh-db", wazuh_db_socket=socket), real_ports(), {})
            with pytest.raises(StoreBusyError, match=f"cannot reach wazuh-db at {path} "):
                await store.recalculate_hashes()
            await store.close()

    asyncio.run(story())


async def all_agents(store: AgentStore) -> list[AgentInfo]:
    agents: list[AgentInfo] = []
    while True:
        part = await store.changed_agents()
        agents += part.agents
        await store.taken(part.agents)
        if not part.more:
            return agents


async def all_groups(store: AgentStore) -> tuple[list[GroupAssignment], str | None]:
    query = GroupsQuery("all", with_hash=True)
    assignments: list[GroupAssignment] = []
    while True:
        part = await store.groups(query)
        assignments += part.assignments
        if not part.more:
            return assignments, part.hash
        query = query._replace(after=assignments[-1].id)


def test_what_goes_through_a_wazuh_db_reaches_what_is_behind_it(tmp_path: Path) -> None:
    async def story() -> None:
        ports = real_ports()
        behind = embedded(settings(tmp_path), ports)
        async with WazuhDbDaemon(tmp_path / "wdb", StoreAnswers(behind)) as daemon:
            front = open_agents(settings(tmp_path, store="wazuh-db", wazuh_db_socket=str(daemon.path)), ports, {})
            await behind.store_agents([full_agent(number) for number in range(1, 2001)])
            await front.send_all_again()
            agents = await all_agents(front)
            assert [one.id for one in agents] == list(range(1, 2001))
            assert len(daemon.requests) > 3
            assert await all_agents(behind) == []
            await front.store_agents(agents)
            await front.set_groups([GroupAssignment(one.id, ("default",)) for one in agents])
            assert await all_groups(front) == await all_groups(behind)
            assignments, digest = await all_groups(front)
            assert assignments == [GroupAssignment(number, ("default",)) for number in range(1, 2001)]
            assert digest is not None
            await front.close()
        await behind.close()

    asyncio.run(story())
