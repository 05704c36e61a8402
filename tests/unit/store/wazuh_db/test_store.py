"""The port's calls as requests of wazuh-db: what is asked, how batches are cut, and who is named when it refuses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.wazuh_db import Fault, WazuhDbDaemon
from tests.support.wazuh_db_clients import client_of, store_of

from outrider.errors import RecordsRefused, StoreBusyError, StoreError, UnknownAgents
from outrider.model import AgentInfo, GroupAssignment, Label
from outrider.protocol.agents import decode_agents
from outrider.store.agents import GroupsPart, GroupsQuery, RegisteredAgent
from outrider.store.wazuh_db import WazuhDb
from outrider.store.wazuh_db.changed import SEND_ALL_AGAIN

FOREIGN = b"err Cannot execute Global database query; FOREIGN KEY constraint failed"
SET_INFO = b"global sync-agent-info-set "
SET_GROUPS = b"global set-agent-groups "


class Refusing:
    """Says ``ok`` unless one of these agents is in the request."""

    def __init__(self, refusals: dict[int, bytes]) -> None:
        self._refusals = refusals

    async def __call__(self, request: bytes) -> Sequence[bytes]:
        for one in map(int, re.findall(rb'\{"id":(\d+)', request)):
            if one in self._refusals:
                return [self._refusals[one]]
        return [b"ok"]


def agent(number: int, os_uname: str | None = None) -> AgentInfo:
    return AgentInfo(id=number, name=f"agent{number}", connection_status="active", os_uname=os_uname)


def stored(daemon: WazuhDbDaemon) -> list[list[int]]:
    """The ids of each request that stored agents."""
    return [
        [one.id for one in decode_agents(request.removeprefix(SET_INFO))]
        for request in daemon.requests
        if request.startswith(SET_INFO)
    ]


def test_agents_go_in_requests_that_wazuh_db_can_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            agents = [agent(number, os_uname="x" * 1000) for number in range(1, 201)]
            await store.store_agents(agents)
            assert max(map(len, daemon.requests)) <= 65_536
            assert len(daemon.requests) == 4
            sent = [one for request in daemon.requests for one in decode_agents(request.removeprefix(SET_INFO))]
            assert sent == agents
            await store.store_agents([])
            assert len(daemon.requests) == 4
            await store.close()

    asyncio.run(story())


def test_an_agent_that_alone_does_not_fit_is_named_and_never_sent(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            giant = AgentInfo(
                id=2, name="b", connection_status="active", labels=tuple(Label(2, "k" * 100, "v") for _ in range(700))
            )
            with pytest.raises(RecordsRefused, match=r"^wazuh-db refused agent 2: this takes a request of 9\d,\d{3} "):
                await store.store_agents([agent(1), giant, agent(3)])
            assert stored(daemon) == [[1], [3]]
            assert daemon.threads == 8
            await store.close()

    asyncio.run(story())


def test_what_is_refused_is_named_with_its_reason_and_the_others_go_through(tmp_path: Path) -> None:
    refusals = {3: b"err first reason", 7: b"err second reason", 8: b"err first reason"}

    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing(refusals)) as daemon:
            store = store_of(client_of(daemon))
            with pytest.raises(RecordsRefused) as caught:
                await store.store_agents([agent(number) for number in range(1, 17)])
            text = "wazuh-db refused agents 3, 8: first reason; agent 7: second reason"
            assert (type(caught.value), str(caught.value)) == (RecordsRefused, text)
            taken = {one for batch in stored(daemon) if not set(batch) & set(refusals) for one in batch}
            assert taken == set(range(1, 17)) - set(refusals)
            await store.close()

    asyncio.run(story())


def test_many_refusals_make_a_short_text(tmp_path: Path) -> None:
    async def story() -> None:
        refusals = {number: b"err reason %d" % (number % 5) for number in range(100)}
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing(refusals)) as daemon:
            store = store_of(client_of(daemon))
            with pytest.raises(RecordsRefused, match=r" and 10 more: reason 1; .* and 2 more reasons$"):
                await store.store_agents([agent(number) for number in range(1, 100)])
            await store.close()

    asyncio.run(story())


def test_agents_that_wazuh_db_does_not_know_are_told_apart_unless_something_else_was_wrong(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({2: FOREIGN, 4: FOREIGN, 9: b"err other"})) as daemon:
            store = store_of(client_of(daemon))
            with pytest.raises(UnknownAgents, match=r"^wazuh-db refused agents 2, 4: .*FOREIGN KEY"):
                await store.store_agents([agent(number) for number in range(1, 6)])
            with pytest.raises(RecordsRefused) as caught:
                await store.store_agents([agent(number) for number in range(1, 10)])
            assert type(caught.value) is RecordsRefused
            await store.close()

    asyncio.run(story())


def test_a_database_that_is_locked_is_not_the_records_fault(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            daemon.faults.append(Fault(say=b"err Cannot execute Global database query; database is locked"))
            with pytest.raises(StoreBusyError, match="database is locked"):
                await store.store_agents([agent(1), agent(2)])
            assert len(daemon.requests) == 1
            await store.close()

    asyncio.run(story())


def test_groups_are_set_in_the_words_of_wazuh_db(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            assignments = [GroupAssignment(1, ("default", "web")), GroupAssignment(2, ())]
            await store.set_groups(assignments)
            (request,) = daemon.requests
            assert request == (
                b'global set-agent-groups {"mode":"override","sync_status":"synced",'
                b'"data":[{"id":1,"groups":["default","web"]},{"id":2,"groups":[]}]}'
            )
            await store.set_groups(assignments, "append", "syncreq")
            added = [json.loads(request.removeprefix(SET_GROUPS)) for request in daemon.requests[1:]]
            assert [fields["data"][0]["id"] for fields in added] == [1, 2]
            assert {(fields["mode"], fields["sync_status"]) for fields in added} == {("append", "syncreq")}
            await store.close()

    asyncio.run(story())


def test_many_groups_go_in_requests_that_wazuh_db_can_read_and_the_bad_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        refusals = {1500: b"err An error occurred during the set of the groups"}
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing(refusals)) as daemon:
            store = store_of(client_of(daemon))
            with pytest.raises(RecordsRefused, match=r"^wazuh-db refused agent 1500: An error occurred"):
                await store.set_groups([GroupAssignment(number, ("a" * 100,)) for number in range(1, 2001)])
            assert max(map(len, daemon.requests)) <= 65_536
            await store.close()

    asyncio.run(story())


async def asked(store: WazuhDb, daemon: WazuhDbDaemon, query: GroupsQuery, says: bytes) -> GroupsPart:
    daemon.faults.append(Fault(say=says))
    return await store.groups(query)


def test_groups_are_read_in_parts_with_the_hash_in_the_last(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            query = GroupsQuery("sync_status", after=4, set_synced=True, with_hash=True, registered_before_s=9)
            part = await asked(store, daemon, query, b'due [{"data":[{"id":5,"groups":["a"]}]}]')
            assert part == GroupsPart([GroupAssignment(5, ("a",))], more=True)
            assert daemon.requests[-1] == (
                b'global sync-agent-groups-get {"condition":"sync_status","last_id":4,"set_synced":true,'
                b'"get_global_hash":true,"agent_registration_delta":9}'
            )
            part = await asked(store, daemon, GroupsQuery(with_hash=True), b'ok [{"data":[],"hash":"ab"}]')
            assert part == GroupsPart([], more=False, hash="ab")
            assert daemon.requests[-1] == (
                b'global sync-agent-groups-get {"last_id":0,"set_synced":false,"get_global_hash":true}'
            )
            for nothing in (b'ok [{"data":[],"hash":null}]', b"ok []"):
                assert await asked(store, daemon, GroupsQuery("all"), nothing) == GroupsPart([], more=False)
            await store.close()

    asyncio.run(story())


def test_groups_that_never_come_and_groups_that_cannot_be_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            with pytest.raises(StoreError, match="those of an agent above 6 alone"):
                await asked(store, daemon, GroupsQuery("all", after=6), b'due [{"data":[]}]')
            with pytest.raises(StoreError, match="no list of groups"):
                await asked(store, daemon, GroupsQuery("all"), b"ok rubbish")
            await store.close()

    asyncio.run(story())


def test_the_other_calls(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Refusing({})) as daemon:
            store = store_of(client_of(daemon))
            await store.recalculate_hashes()
            await store.send_all_again()
            await store.register([RegisteredAgent(1, "a", "any")])
            assert daemon.requests == [
                b"global recalculate-agent-group-hashes",
                SEND_ALL_AGAIN,
            ]
            await store.close()

    asyncio.run(story())
