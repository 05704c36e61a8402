"""Agents that changed, read from a wazuh-db that forgets them in the moment in which it answers: none is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.wazuh_db import Fault, WazuhDbDaemon
from tests.support.wazuh_db_clients import client_of, store_of, until

from outrider.errors import StoreBusyError, StoreError
from outrider.store.agents import AgentsPart
from outrider.store.wazuh_db import WazuhDb, changed
from outrider.store.wazuh_db.changed import SEND_ALL_AGAIN
from outrider.store.wazuh_db.client import NotSentError

READ = b"global sync-agent-info-get "
NEXT = b"global sql select id from agent where sync_status='syncreq' and id > "


class Agents:
    """What a wazuh-db has to hand out: ``part`` agents an answer, from its position on; ``giants`` never fit."""

    def __init__(self, *ids: int, part: int = 2, giants: Sequence[int] = ()) -> None:
        self.all = list(ids)
        self.changed = set(ids)
        self.position = 0
        self._part = part
        self._giants = giants

    async def __call__(self, request: bytes) -> Sequence[bytes]:
        if request == SEND_ALL_AGAIN:
            self.changed = set(self.all)
            return [b"ok []"]
        if request.startswith(NEXT):
            after = int(request.removeprefix(NEXT).split()[0])
            return [b"ok " + json.dumps([{"id": one} for one in self._waiting(after)[:1]]).encode()]
        assert request.startswith(READ)
        if request.startswith(READ + b"last_id "):
            self.position = int(request.rpartition(b" ")[2])
        return [self._read()]

    def _waiting(self, after: int) -> list[int]:
        return [one for one in sorted(self.changed) if one > after]

    def _read(self) -> bytes:
        waiting = self._waiting(self.position)
        fits = next((place for place, one in enumerate(waiting) if one in self._giants), len(waiting))
        handed = waiting[: min(fits, self._part)]
        self.changed -= set(handed)
        more = len(waiting) > len(handed)
        self.position = (handed[-1] if handed else self.position) if more else 0
        rows = [{"id": one, "name": f"agent{one}", "connection_status": "active"} for one in handed]
        return (b"due " if more else b"ok ") + json.dumps(rows).encode()


def ids(part: AgentsPart) -> list[int]:
    return [agent.id for agent in part.agents]


async def read_all(store: WazuhDb) -> list[int]:
    """Every part until there is no more."""
    read: list[int] = []
    while True:
        part = await store.changed_agents()
        read += ids(part)
        if not part.more:
            return read


def test_parts_follow_one_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1, 2, 3)) as daemon:
            store = store_of(client_of(daemon))
            first = await store.changed_agents()
            assert (ids(first), first.more) == ([1, 2], True)
            second = await store.changed_agents()
            assert (ids(second), second.more) == ([3], False)
            assert ids(await store.changed_agents()) == []
            await store.taken(first.agents)
            assert daemon.requests == [READ + b"{}"] * 3
            assert len(daemon.connections) == 1
            await store.close()

    asyncio.run(story())


def test_two_readers_take_turns_and_share_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1, 2, 3, 4)) as daemon:
            store = store_of(client_of(daemon))
            one, other = await asyncio.gather(store.changed_agents(), store.changed_agents())
            assert (ids(one), ids(other)) == ([1, 2], [3, 4])
            assert daemon.most_at_work == 1
            await store.close()

    asyncio.run(story())


def test_what_was_read_for_a_caller_that_went_away_is_the_next_ones(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1, 2, 3)) as daemon:
            store, slow = store_of(client_of(daemon)), asyncio.Event()
            daemon.faults.append(Fault(until=slow))
            reading = asyncio.ensure_future(store.changed_agents())
            await until(lambda: daemon.requests)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            slow.set()
            assert await read_all(store) == [1, 2, 3]
            assert SEND_ALL_AGAIN not in daemon.requests
            await store.close()

    asyncio.run(story())


@pytest.mark.parametrize("cut", [0, 2, 9])
def test_after_an_answer_that_got_lost_every_agent_is_read_again(tmp_path: Path, cut: int) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1, 2, 3)) as daemon:
            store = store_of(client_of(daemon))
            daemon.faults.append(Fault(cut=cut))
            with pytest.raises(StoreBusyError):
                await store.changed_agents()
            # The position stood in the middle: what lies before it comes with the next round.
            assert sorted(await read_all(store) + await read_all(store)) == [1, 2, 3]
            assert daemon.requests.count(SEND_ALL_AGAIN) == 1
            await store.close()

    asyncio.run(story())


def test_a_question_that_never_arrived_lost_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        daemon = WazuhDbDaemon(tmp_path / "wdb", Agents(1, 2, 3))
        store = store_of(client_of(daemon))
        with pytest.raises(NotSentError):
            await store.changed_agents()
        async with daemon:
            assert await read_all(store) == [1, 2, 3]
            assert SEND_ALL_AGAIN not in daemon.requests
            await store.close()

    asyncio.run(story())


def test_a_store_that_is_closed_gives_back_what_nobody_took(tmp_path: Path) -> None:
    async def story() -> None:
        agents = Agents(1, 2, 3)
        async with WazuhDbDaemon(tmp_path / "wdb", agents) as daemon:
            store, slow = store_of(client_of(daemon)), asyncio.Event()
            daemon.faults.append(Fault(until=slow))
            reading = asyncio.ensure_future(store.changed_agents())
            await until(lambda: daemon.requests)
            reading.cancel()
            closing = asyncio.ensure_future(store.close())
            slow.set()
            await closing
            assert agents.changed == {1, 2, 3}

    asyncio.run(story())


def test_what_cannot_be_given_back_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1)) as daemon:
            store = store_of(client_of(daemon))
            daemon.faults.append(Fault(cut=0))
            with pytest.raises(StoreBusyError):
                await store.changed_agents()
        await store.close()

    asyncio.run(story())
    assert "could not be given back: cannot reach wazuh-db" in caplog.text


def test_a_daemon_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, "_PATIENCE_S", 0.05)

    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1)) as daemon:
            store = store_of(client_of(daemon))
            daemon.faults.append(Fault(until=asyncio.Event(), times=2))
            reading = asyncio.ensure_future(store.changed_agents())
            await until(lambda: daemon.requests)
            reading.cancel()
            await store.close()
            assert daemon.requests == [READ + b"{}", SEND_ALL_AGAIN]

    asyncio.run(story())
    assert "could not be given back: no answer within 0.05 s" in caplog.text


def test_an_agent_that_never_fits_is_passed_over_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        agents = Agents(1, 2, 3, 4, 5, giants=(1, 3))
        async with WazuhDbDaemon(tmp_path / "wdb", agents) as daemon:
            store = store_of(client_of(daemon))
            assert await read_all(store) == [2, 4, 5]
            assert await read_all(store) == []
            assert agents.changed == {1, 3}
            await store.close()

    asyncio.run(story())
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("agent 1 is not sent: its information alone is larger")
    assert told[1].startswith("agent 3 is not sent")


@pytest.mark.parametrize("says", [b"ok []", b'ok [{"id":0}]', b"err no such command", b"ok rubbish"])
def test_a_daemon_that_only_says_that_there_is_more_is_not_asked_for_ever(tmp_path: Path, says: bytes) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents(1)) as daemon:
            store = store_of(client_of(daemon))
            daemon.faults += [Fault(on=READ, say=b"due []", times=1000), Fault(on=NEXT, say=says, times=1000)]
            with pytest.raises(StoreError, match="an agent above 0 alone is larger than one answer; shorten"):
                await store.changed_agents()
            assert len(daemon.requests) == 3
            daemon.faults.clear()
            assert await read_all(store) == [1]
            assert SEND_ALL_AGAIN not in daemon.requests
            await store.close()

    asyncio.run(story())


def test_a_row_that_cannot_be_read_does_not_take_the_others_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = (
        b'[{"id":1,"name":"caf\xe9","connection_status":"active"},{"id":2,"name":"b","connection_status":"flying"},'
        b'{"id":3,"name":"c","connection_status":"active"}]'
    )

    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", Agents()) as daemon:
            store = store_of(client_of(daemon))
            daemon.faults.append(Fault(say=b"ok " + rows))
            part = await store.changed_agents()
            assert [(agent.id, agent.name) for agent in part.agents] == [(1, "caf\N{REPLACEMENT CHARACTER}"), (3, "c")]
            daemon.faults.append(Fault(say=b"ok rubbish"))
            with pytest.raises(StoreError, match="no list of agents"):
                await store.changed_agents()
            await store.close()

    asyncio.run(story())
    assert "an agent of wazuh-db is not sent" in caplog.text
    assert "flying" in caplog.text
