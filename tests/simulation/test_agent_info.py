"""Agent information from workers to a master: whatever happens on the way, every record arrives or is put aside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.support.channels import Serve, Side
from tests.support.cluster import MASTER, Cluster, simulate
from tests.support.memory_agents import MemoryAgents
from tests.support.messages import chunks_of
from tests.support.peers import PlayedMaster

from outrider.errors import RecordsRefused, StoreBusyError
from outrider.model import AgentInfo
from outrider.protocol import commands as c
from outrider.protocol.agents import AGENT_INFO_SET, Result, decode_agents, decode_result
from outrider.store.outbox import look
from outrider.transport.answers import Reply

QUICK = {"intervals.worker.sync_agent_info": 2, "intervals.worker.connection_retry": 2}


def agent(number: int, name: str = "") -> AgentInfo:
    return AgentInfo(id=number, name=name or f"agent-{number}", connection_status="active", os_name="x" * 200)


def changed(count: int, first: int = 1) -> MemoryAgents:
    """A store whose agents are all to be sent."""
    store = MemoryAgents()
    store.agents = {number: agent(number) for number in range(first, first + count)}
    store.changed = set(store.agents)
    return store


class Picky(MemoryAgents):
    """Refuses agents by their number, and remembers in which order the others came."""

    def __init__(self, refused: Sequence[int] = ()) -> None:
        super().__init__()
        self.refused = set(refused)
        self.came: list[int] = []

    async def store_agents(self, agents: Sequence[AgentInfo]) -> None:
        if bad := self.refused & {one.id for one in agents}:
            raise RecordsRefused(f"Cannot execute Global database query; {sorted(bad)} will not do")
        await super().store_agents(agents)
        self.came += [one.id for one in agents]


def test_what_changed_on_two_workers_reaches_the_master_and_travels_once(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs = MemoryAgents()
        stores = [changed(2000), changed(2000, first=5000)]
        await cluster.master(agents=theirs)
        for name, store in zip(("worker1", "worker2"), stores, strict=True):
            cluster.worker(name, QUICK, agents=store)
        await cluster.until(lambda: len(theirs.agents) == 4000)
        assert theirs.agents == stores[0].agents | stores[1].agents
        await asyncio.sleep(30)
        assert len(cluster.trace.of("syn_a_w_m")) == 2
        stores[0].agents[7] = agent(7, "renamed")
        stores[0].changed.add(7)
        await cluster.until(lambda: theirs.agents[7].name == "renamed", within_s=5)
        assert len(cluster.trace.of("syn_a_w_m")) == 3

    simulate(tmp_path, story)


def test_an_answer_lost_with_its_link_is_asked_for_again_and_nothing_is_lost(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(1000)
        master = await cluster.master(agents=theirs)
        cluster.worker("worker1", QUICK, agents=ours)
        theirs.seconds = 3
        await cluster.until(lambda: bool(cluster.trace.of("syn_a_w_m")), step_s=0.01)
        assert not ours.changed
        cluster.fabric.cut(MASTER)
        await cluster.until(lambda: len(theirs.agents) == 1000, within_s=60)
        assert not [one for one in master.roster.members() if one.info.name != "worker1"]
        theirs.seconds = 0
        await cluster.until(lambda: len(cluster.trace.of("syn_m_a_e")) >= 1, within_s=60)
        await asyncio.sleep(30)
        sent = len(cluster.trace.of("syn_a_w_m"))
        await asyncio.sleep(30)
        assert len(cluster.trace.of("syn_a_w_m")) == sent

    simulate(tmp_path, story)


def test_on_a_link_that_loses_a_third_everything_arrives(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(1000)
        await cluster.master(agents=theirs)
        cluster.fabric.loss = 0.3
        cluster.worker("worker1", QUICK, agents=ours)
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=300)

    simulate(tmp_path, story)


def test_a_master_that_restarts_in_the_middle_gets_it_again(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(1000)
        theirs.seconds = 3
        master = await cluster.master(agents=theirs)
        cluster.worker("worker1", QUICK, agents=ours)
        await cluster.until(lambda: bool(cluster.trace.of("syn_a_w_m")), step_s=0.01)
        await cluster.stop(master)
        theirs = MemoryAgents()
        await cluster.master(agents=theirs)
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=60)

    simulate(tmp_path, story)


def test_what_was_read_and_not_confirmed_waits_on_disk_while_the_worker_is_down(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(1000)
        theirs.seconds = 10
        await cluster.master(agents=theirs)
        worker = cluster.worker("worker1", QUICK, agents=ours)
        await cluster.until(lambda: bool(cluster.trace.of("syn_a_w_m")), step_s=0.01)
        await cluster.stop(worker)
        assert not ours.changed
        theirs.seconds = 0
        again = MemoryAgents()  # knows nothing: what arrives now was in the outbox
        cluster.worker("worker1", QUICK, agents=again)
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=60)
        assert "send_all_again" not in again.calls

    simulate(tmp_path, story)


def test_a_refused_record_is_found_named_counted_and_put_aside_and_the_others_arrive_in_order(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = Picky(refused=[333, 334, 1999]), changed(2000)
        await cluster.master(agents=theirs)
        worker = cluster.worker("worker1", QUICK, agents=ours)
        await cluster.until(lambda: len(theirs.agents) == 1997, within_s=60)
        last = list(dict.fromkeys(reversed(theirs.came)))[::-1]  # parts of a refused message came before as well
        assert last == [one for one in range(1, 2001) if one not in theirs.refused]
        await cluster.until(lambda: worker.status.snapshot().counters.get("agents_put_aside") == 3, within_s=60)
        aside = look(cluster.home("worker1"))
        assert [decode_agents(b"[" + one.record + b"]")[0].id for one in aside] == [333, 334, 1999]
        assert all("will not do" in one.why for one in aside)
        sent = len(cluster.trace.of("syn_a_w_m"))
        await asyncio.sleep(30)
        assert len(cluster.trace.of("syn_a_w_m")) == sent

    simulate(tmp_path, story)


def test_threat_46_a_master_s_database_that_is_busy_for_20_s_costs_nobody_a_record(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(1000)
        theirs.fault = StoreBusyError("database is locked")
        await cluster.master(agents=theirs)
        worker = cluster.worker("worker1", QUICK, agents=ours)
        await asyncio.sleep(20)
        assert cluster.trace.of("syn_m_a_err")[0].payload.startswith(
            b"error processing agent-info chunks in process pool: database is locked"
        )
        assert theirs.agents == {}
        theirs.fault = None
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=70)
        assert "agents_put_aside" not in worker.status.snapshot().counters

    simulate(tmp_path, story)


def test_what_a_master_cannot_write_in_time_is_reported_and_comes_again_in_smaller_messages(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        theirs, ours = MemoryAgents(), changed(3000)
        theirs.seconds = 3
        await cluster.master({"intervals.master.timeout_agent_info": 5}, agents=theirs)
        worker = cluster.worker("worker1", QUICK, agents=ours)
        await cluster.until(lambda: theirs.agents == ours.agents, within_s=300)
        first, *_, last = [decode_result(said.payload) for said in cluster.trace.of("syn_m_a_e")]
        sent = first_sent(cluster)
        assert first.updated_chunks == 8
        assert first.error_messages == [f"{sent - 8} of {sent} chunks not written in time, within 5 s"]
        assert last.error_messages == []
        assert "agents_put_aside" not in worker.status.snapshot().counters

    simulate(tmp_path, story)


def first_sent(cluster: Cluster) -> int:
    """Chunks of the first message."""
    parts = [said.payload.split(b" ", 1) for said in cluster.trace.of("str_upd")]
    text = b"".join(data for name, data in parts if name == parts[0][0])
    return len(chunks_of(text, AGENT_INFO_SET))


class OldMaster(PlayedMaster):
    """Keeps the first ``most`` chunks of a message and does not say why not the others, as 4.9.2 in want of time."""

    def __init__(self, cluster: Cluster, most: int, unknown: Sequence[int] = ()) -> None:
        super().__init__(cluster, self.agent_serves())
        self.most, self.unknown = most, set(unknown)
        self.strings: dict[bytes, bytes] = {}
        self.agents: dict[int, AgentInfo] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def agent_serves(self) -> dict[c.Command, Serve]:
        return {
            c.AGENT_INFO_PERMISSION: lambda _: Reply(b"True"),
            c.NEW_STR: self._new,
            c.STR_UPD: self._extend,
            c.AGENT_INFO: self._keep,
        }

    def _new(self, _: bytes) -> Reply:
        name = b"%d" % len(self.strings)
        self.strings[name] = b""
        return Reply(name)

    def _extend(self, payload: bytes) -> Reply:
        name, data = payload.split(b" ", 1)
        self.strings[name] += data
        return Reply(b"String updated")

    def _keep(self, name: bytes) -> Reply:
        chunks = chunks_of(self.strings[name], AGENT_INFO_SET)
        kept = 0
        for chunk in chunks[: self.most]:
            agents = decode_agents(chunk.encode())
            if not self.unknown & {one.id for one in agents}:
                self.agents |= {one.id: one for one in agents}
                kept += 1
        self.tasks.append(asyncio.create_task(self._tell(self.side, Result(kept, [], 40.0))))
        return Reply(name)

    async def _tell(self, side: Side, result: Result) -> None:
        await side.channel.request(c.AGENT_INFO_RESULT, result.encode(), 20)


def test_an_old_master_that_runs_out_of_time_and_knows_not_every_group_gets_all_it_can_keep(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        ours = changed(2000)
        master = OldMaster(cluster, most=3, unknown=[77])
        await master.listen()
        worker = cluster.worker("worker1", QUICK, agents=ours)
        await cluster.until(lambda: len(master.agents) == 1999, within_s=600)
        assert [decode_agents(b"[" + one.record + b"]")[0].id for one in look(cluster.home("worker1"))] == [77]
        assert worker.status.snapshot().counters["agents_put_aside"] == 1

    simulate(tmp_path, story)
