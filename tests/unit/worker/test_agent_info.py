"""What a worker says of its agents, and what it makes of a master's answers, odd ones included."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.channels import Serve, say
from tests.support.cluster import Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.messages import chunks_of
from tests.support.peers import PlayedMaster

from outrider.errors import RefusedByPeer, StoreBusyError
from outrider.model import AgentInfo
from outrider.protocol import commands as c
from outrider.protocol.agents import AGENT_INFO_SET, CHUNK_BYTES
from outrider.protocol.commands import Command
from outrider.store.outbox import FILE, look
from outrider.worker import Worker

INTERVAL_S = 10
LATER = b"error processing agent-info chunks in process pool: Error 2005"


class Master(PlayedMaster):
    """Permits everything and keeps nothing; a test answers."""

    def __init__(self, cluster: Cluster, permission: bytes = b"True") -> None:
        strings: dict[Command, Serve] = {c.NEW_STR: say(b"7"), c.STR_UPD: say(b"String updated")}
        super().__init__(cluster, {**strings, c.AGENT_INFO_PERMISSION: say(permission), c.AGENT_INFO: say(b"7")})

    def asked(self, name: str) -> list[bytes]:
        return [payload for side in self.sides for asked, payload in side.requests if asked == name]

    async def message(self, cluster: Cluster, number: int, within_s: float = 90) -> list[str]:
        """Wait for the message of this number; its chunks."""
        await cluster.until(lambda: len(self.asked("syn_a_w_m")) >= number, within_s=within_s, step_s=0.01)
        assert len(self.asked("syn_a_w_m")) == number
        text = b"".join(part.split(b" ", 1)[1] for part in self.asked("str_upd"))
        return [chunks_of(one, AGENT_INFO_SET) for one in _texts(text)][-1]

    async def result(self, text: bytes) -> bytes:
        return await self.side.channel.request(c.AGENT_INFO_RESULT, text, 20)


def _texts(joined: bytes) -> list[bytes]:
    mark = b'{"set_data_command"'
    return [mark + rest for rest in joined.split(mark)[1:]]


Story = Callable[[Cluster, Master, Worker, MemoryAgents], Coroutine[Any, Any, None]]


def changed(*numbers: int) -> MemoryAgents:
    store = MemoryAgents()
    store.agents = {one: AgentInfo(id=one, name=f"a{one}", connection_status="active") for one in numbers}
    store.changed = set(numbers)
    return store


def with_worker(folder: Path, story: Story, store: MemoryAgents | None = None, permission: bytes = b"True") -> None:
    async def whole(cluster: Cluster) -> None:
        master = Master(cluster, permission)
        await master.listen()
        agents = store or changed(1, 2, 3)
        worker = cluster.worker("worker1", {"intervals.worker.sync_agent_info": INTERVAL_S}, agents=agents)
        await story(cluster, master, worker, agents)

    simulate(folder, whole)


def test_without_permission_nothing_is_read_and_nothing_sent(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: Worker, store: MemoryAgents) -> None:
        await cluster.until(lambda: len(master.asked("syn_a_w_m_p")) == 3)
        assert master.asked("new_str") == []
        assert store.calls == []

    with_worker(tmp_path, story, permission=b"False")


def test_with_nothing_to_send_a_round_ends_after_its_question(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: Worker, __: MemoryAgents) -> None:
        await cluster.until(lambda: len(master.asked("syn_a_w_m_p")) == 3)
        assert master.asked("new_str") == []

    with_worker(tmp_path, story, changed())


def test_a_message_is_what_the_original_sends(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: Worker, __: MemoryAgents) -> None:
        rows = ",".join(f'{{"id":{one},"name":"a{one}","connection_status":"active"}}' for one in (1, 2, 3))
        assert await master.message(cluster, 1) == [f"[{rows}]"]
        assert await master.result(b'{"updated_chunks": 1, "error_messages": [], "time_spent": 0.1}') == b"Thanks"
        await asyncio.sleep(5 * INTERVAL_S)
        assert len(master.asked("syn_a_w_m")) == 1

    with_worker(tmp_path, story)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"updated_chunks": 0, "error_messages": ["database is locked"], "time_spent": 0.1}',
        b'{"updated_chunks": "many"}',
        b"[]",
    ],
)
def test_what_is_not_confirmed_is_sent_again(tmp_path: Path, answer: bytes) -> None:
    async def story(cluster: Cluster, master: Master, worker: Worker, __: MemoryAgents) -> None:
        first = await master.message(cluster, 1)
        assert await master.result(answer) == b"Thanks"
        assert await master.message(cluster, 2) == first
        assert "agents_put_aside" not in worker.status.snapshot().counters

    with_worker(tmp_path, story)


def test_a_master_that_says_nothing_or_has_no_database_gets_it_again_and_again(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, worker: Worker, __: MemoryAgents) -> None:
        first = await master.message(cluster, 1)
        assert await master.message(cluster, 2, within_s=200) == first  # nothing was said for a minute
        for number in range(3, 9):
            assert await master.side.channel.request(c.AGENT_INFO_ERROR, LATER, 20) == b"Thanks"
            assert await master.message(cluster, number) == first
        assert "agents_put_aside" not in worker.status.snapshot().counters

    with_worker(tmp_path, story)


def test_an_answer_to_nothing_confirms_nothing(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: Worker, __: MemoryAgents) -> None:
        await cluster.until(lambda: bool(master.sides))
        await asyncio.sleep(1)
        confirmed = b'{"updated_chunks": 1, "error_messages": [], "time_spent": 0.1}'
        assert await master.result(confirmed) == b"Thanks"
        first = await master.message(cluster, 1)
        await asyncio.sleep(70)  # given up; an answer that comes now is too late
        assert await master.result(confirmed) == b"Thanks"
        assert await master.message(cluster, 2) == first

    with_worker(tmp_path, story)


def test_an_answer_that_is_no_json_is_refused_in_the_original_s_words(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: Worker, __: MemoryAgents) -> None:
        await master.message(cluster, 1)
        with pytest.raises(RefusedByPeer, match=r"Expecting value: line 1 column 1 \(char 0\)"):
            await master.result(b"zz")

    with_worker(tmp_path, story)


def test_a_record_that_fits_into_no_chunk_is_put_aside_and_the_others_go(tmp_path: Path) -> None:
    store = changed(1, 3)
    store.agents[2] = AgentInfo(id=2, name="x" * CHUNK_BYTES, connection_status="active")
    store.changed.add(2)

    async def story(cluster: Cluster, master: Master, worker: Worker, __: MemoryAgents) -> None:
        (chunk,) = await master.message(cluster, 1)
        assert '"id":1' in chunk
        assert '"id":2' not in chunk
        assert worker.status.snapshot().counters["agents_put_aside"] == 1
        (aside,) = look(cluster.home("worker1"))
        assert aside.why == "it is larger than a chunk of 65024 bytes"

    with_worker(tmp_path, story, store)


def test_a_store_that_is_busy_is_asked_again_and_then_everything_is_sent_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, _: Worker, store: MemoryAgents) -> None:
        store.fault = StoreBusyError("locked")
        await cluster.until(lambda: len(store.calls) >= 3, within_s=120)
        store.fault = None
        await master.message(cluster, 1)
        assert store.changed == set()

    with_worker(tmp_path, story)


def test_what_a_store_counts_as_taken_lies_on_disk_by_then(tmp_path: Path) -> None:
    """Asked of the file itself: a node that is killed at this moment loses nothing."""

    class Watched(MemoryAgents):
        waiting: int | None = None

        async def taken(self, agents: Sequence[AgentInfo]) -> None:
            with closing(sqlite3.connect(tmp_path / "worker1" / FILE)) as outbox:
                (self.waiting,) = outbox.execute("select count(*) from chunks").fetchone()
            await super().taken(agents)

    async def story(cluster: Cluster, master: Master, _: Worker, __: MemoryAgents) -> None:
        await master.message(cluster, 1)
        assert store.waiting == 1

    store = Watched()
    store.agents, store.changed = changed(1, 2, 3).agents, {1, 2, 3}
    with_worker(tmp_path, story, store)


def test_the_first_start_sends_every_agent_and_the_next_one_only_what_changed(tmp_path: Path) -> None:
    async def story(cluster: Cluster, master: Master, worker: Worker, store: MemoryAgents) -> None:
        await cluster.stop(worker)
        store.changed = set()
        second = cluster.worker("worker1", {"intervals.worker.sync_agent_info": INTERVAL_S}, agents=store)
        (chunk,) = await master.message(cluster, 1)
        assert chunk.count('"id"') == 3
        await master.result(b'{"updated_chunks": 1, "error_messages": [], "time_spent": 0.1}')
        await asyncio.sleep(1)
        await cluster.stop(second)
        cluster.worker("worker1", {"intervals.worker.sync_agent_info": INTERVAL_S}, agents=store)
        await asyncio.sleep(5 * INTERVAL_S)
        assert len(master.asked("syn_a_w_m")) == 1

    with_worker(tmp_path, story)
