"""A kind of synchronisation of somebody else: it works like ours, and whatever it does wrong harms nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.support.cluster import TREE, Cluster, simulate

from outrider.errors import RefusedByPeer
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, Kind, LinkGround, NodeGround, Talk, Task, stateless
from outrider.protocol import commands as c
from outrider.protocol.commands import Command, To
from outrider.transport.answers import Reply

ASK = Command(b"count_ask", To.MASTER, "how often have I asked?")
TELL = Command(b"count_tell", To.WORKER, "somebody has asked")
ROUNDS = {"intervals.worker.sync_integrity": 5, "intervals.worker.connection_retry": 5}


class Counting(Talk):
    """The worker's: asks every second."""

    def __init__(self, link: LinkGround) -> None:
        self._link = link
        self.told: list[bytes] = []
        self.answers: list[bytes] = []

    def serves(self) -> Mapping[Command, Serve]:
        return {TELL: self._tell}

    def tasks(self) -> Sequence[Task]:
        return [("count", self.run)]

    async def run(self) -> None:
        while True:
            self.answers.append(await self._link.session.request(ASK))
            await self._link.node.ports.sleep(1)

    def _tell(self, payload: bytes) -> Reply:
        self.told.append(payload)
        return Reply(b"heard")


class Counters(Half["Counter"]):
    """The master's: tells all workers who has asked."""

    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        self.ground = ground
        self.events: list[str] = ["made"]
        assert ground.settings.link.keys == []

    async def start(self) -> None:
        self.events.append("started")

    async def close(self) -> None:
        self.events.append("closed")

    def talk(self, link: LinkGround) -> Counter:
        return Counter(link, self)


class Counter(Talk):
    def __init__(self, link: LinkGround, counters: Counters) -> None:
        self._link = link
        self._counters = counters
        self._asked = 0

    def serves(self) -> Mapping[Command, Serve]:
        return {ASK: self._ask}

    def joined(self) -> None:
        assert self._counters.talks[self._link.session.worker] is self
        self._counters.events.append(f"{self._link.session.worker} joined")

    def lost(self, reason: str) -> None:
        del reason
        assert self._counters.talks.get(self._link.session.worker) is not self
        self._counters.events.append(f"{self._link.session.worker} lost")

    async def _ask(self, _: bytes) -> Reply:
        self._asked += 1
        for talk in self._counters.talks.values():
            await talk._link.session.request(TELL, self._link.session.worker.encode())
        return Reply(b"%d" % self._asked)


COUNT = Kind(name="count", commands=(ASK, TELL), worker=stateless(Counting), master=Counters)


def test_both_halves_ask_and_tell_and_know_who_is_there(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        made: list[Counters] = []
        talks: list[Counting] = []

        def counters(ground: NodeGround) -> Counters:
            made.append(Counters(ground))
            return made[0]

        def counting(link: LinkGround) -> Counting:
            talks.append(Counting(link))
            return talks[-1]

        kind = replace(COUNT, master=counters, worker=stateless(counting))
        master = await cluster.master(kinds=[kind])
        one, two = (cluster.worker(name, ROUNDS, kinds=[kind]) for name in ("worker1", "worker2"))
        await cluster.until(lambda: len(talks) == 2 and all(len(talk.answers) > 3 for talk in talks))
        assert talks[0].answers[:4] == [b"1", b"2", b"3", b"4"]
        assert {*talks[0].told} == {*talks[1].told} == {b"worker1", b"worker2"}
        assert [*made[0].talks] == ["worker1", "worker2"]
        await cluster.stop(two)
        cluster.fabric.cut(cluster.address("worker1"))
        await cluster.until(lambda: len(talks) == 3 and len(talks[2].answers) > 3)
        assert talks[2].answers[0] == b"1"
        assert one.status.snapshot().counters.get("kind_count_failed") is None
        await cluster.stop(one)
        await cluster.stop(master)
        events = made[0].events
        assert events[:2] == ["made", "started"]
        assert sorted(events[2:4]) == ["worker1 joined", "worker2 joined"]
        assert events[-2:] == ["worker1 lost", "closed"]

    simulate(tmp_path, story)


def test_a_peer_without_the_kind_answers_that_it_does_not_know_the_command(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        asked: list[str] = []

        class Asks(Counting):
            async def run(self) -> None:
                try:
                    await self._link.session.request(ASK)
                except RefusedByPeer as refusal:
                    asked.append(str(refusal.detail))

        await cluster.master()
        cluster.worker(kinds=[replace(COUNT, worker=stateless(Asks))])
        await cluster.until(lambda: bool(asked))
        assert asked == ["unknown command 'b'count_ask''"]

    simulate(tmp_path, story)


def failing(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a defect of a package")


async def failing_later(*_: Any, **__: Any) -> NoReturn:
    failing()


def rubbish(*_: Any, **__: Any) -> Any:
    return 5


def but(half: type[Half[Any]], **methods: Any) -> Callable[[NodeGround], Half[Any]]:
    """A half of which some methods are others."""
    return type("Bad", (half,), methods)


def talk_but(talk: type[Talk], **methods: Any) -> Callable[[LinkGround], Talk]:
    return type("Bad", (talk,), methods)


class Plain(Half[Talk]):
    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        del ground

    def talk(self, link: LinkGround) -> Talk:
        return Counting(link)


def hears(ground: NodeGround) -> Half[Any]:
    ground.applied.connect(failing)
    return Plain(ground)


BAD: dict[str, Callable[[NodeGround], Any]] = {
    "factory raises": failing,
    "factory makes rubbish": rubbish,
    "half forgets its base": but(Plain, __init__=lambda *_: None),
    "start raises": but(Plain, start=failing_later, close=failing_later),
    "tasks raise": but(Plain, tasks=failing),
    "tasks are rubbish": but(Plain, tasks=lambda _: [5]),
    "a task raises": but(Plain, tasks=lambda _: [("bad", failing_later)]),
    "a task is no coroutine": but(Plain, tasks=lambda _: [("bad", rubbish)]),
    "close raises": but(Plain, close=failing_later),
    "talk raises": but(Plain, talk=failing),
    "talk is rubbish": but(Plain, talk=rubbish),
    "serves raises": stateless(talk_but(Counting, serves=failing)),
    "serves what is not its own": stateless(talk_but(Counting, serves=lambda _: {c.ECHO: Reply})),
    "serves the other role's": stateless(talk_but(Counting, serves=lambda _: {ASK: Reply})),
    "serve raises": stateless(talk_but(Counting, _tell=failing)),
    "serve answers rubbish": stateless(talk_but(Counting, _tell=rubbish)),
    "talk's tasks raise": stateless(talk_but(Counting, tasks=failing)),
    "joined raises": stateless(talk_but(Counting, joined=failing)),
    "lost raises": stateless(talk_but(Counting, lost=failing)),
    "run raises": stateless(talk_but(Counting, run=failing_later)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_threat_49_a_kind_that_fails_is_named_and_counted_and_harms_nobody(
    tmp_path: Path, bad: Callable[[NodeGround], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write("master", TREE)
        master = await cluster.master(kinds=[COUNT])
        worker = cluster.worker("worker1", ROUNDS, kinds=[replace(COUNT, worker=bad)])
        await cluster.until(lambda: cluster.in_step("worker1"))
        other = cluster.worker("worker2", ROUNDS, kinds=[COUNT])
        await cluster.until(lambda: cluster.in_step("worker2"))
        cluster.fabric.cut(cluster.address("worker1"))
        cluster.write("master", {"tree/new": b"new\n"})
        await cluster.until(lambda: cluster.in_step("worker1", "worker2"))
        await cluster.stop(worker)
        assert worker.status.snapshot().counters["kind_count_failed"] > 0
        for node in (master, other):
            assert "kind_count_failed" not in node.status.snapshot().counters

    simulate(tmp_path, story)
    assert "count" in caplog.text
