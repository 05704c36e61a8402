"""One worker on the fast path, as the master serves it: its patience, its order of questions, what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, cast

import pytest
from tests.support.grounds import node_ground
from tests.support.loop import run
from tests.support.network import Fabric
from tests.support.ports import simulated_ports

from outrider.errors import ConnectionLostError, Refusal
from outrider.exchange.session import Session
from outrider.kinds.interface import LinkGround
from outrider.master.generations import Aim, Generations
from outrider.master.steps import PATIENCE_S, WorkerGenerations
from outrider.protocol import commands as c
from outrider.protocol import generations as g
from outrider.protocol.commands import Command
from outrider.status import Status
from outrider.store.generations import Generation

HERE, THERE, THIRD = b"h" * 64, b"t" * 64, b"3" * 64
IN_STEP = g.InStep(4, b"l" * 16)
OFFER = g.Offer(4, THERE, b"l" * 16, g.ticket_of(HERE, THERE), b"bundle", whole=True)


class FarEnd:
    """A session with a worker that is told things; ``answer`` is what it says to them, or what happens instead."""

    def __init__(self) -> None:
        self.worker = "worker1"
        self.told: list[tuple[Command, bytes]] = []
        self.answer: bytes | Exception = b""

    def request(self, command: Command, payload: bytes) -> asyncio.Future[bytes]:
        self.told.append((command, payload))
        answer = asyncio.get_running_loop().create_future()
        if isinstance(self.answer, Exception):
            answer.set_exception(self.answer)
        else:
            answer.set_result(self.answer)
        return answer


class Standings:
    """What the others hear of where the worker stands."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def stands(self, _: Session, number: int) -> None:
        self.at.append(number)

    def joined(self, _: Session) -> None:
        self.at.append(-2)

    def left(self, _: Session) -> None:
        self.at.append(-1)


class Half:
    """A master's half whose answers take ``seconds``; it notes what was begun, and what was given up."""

    def __init__(self) -> None:
        self.ground = node_ground(simulated_ports(Fabric(Random(1)), "here"))
        self.standings = Standings()
        self.number = 4
        self.seconds = 0.0
        self.fault: Exception | None = None
        self.wants: list[str] = []
        self.begun: list[str] = []
        self.given_up: list[str] = []
        self.bundles = self

    async def offer(self, root: bytes) -> g.Answer:
        await self._work("offer")
        return OFFER if root == HERE else IN_STEP if root == THERE else g.Unknown()

    async def aim_from(self, root: bytes, report: bytes) -> Aim:
        await self._work(f"report {report.decode()}")
        return Aim(root, cast("Generation", None), cast("Any", report))

    async def wanted(self, _: Any) -> list[str]:
        return self.wants

    async def described(self, step: Any, signatures: bytes) -> Any:
        await self._work(f"signatures {signatures.decode()}")
        return step

    def unpacked(self, ticket: bytes) -> int:
        return 1000 if ticket == g.ticket_of(HERE, THERE) else 0

    async def offer_of(self, _: Aim) -> g.Answer:
        return OFFER

    async def read(self, ticket: bytes, offset: int) -> bytes:
        return g.encode_part(b"%d of " % offset + ticket, last=True)

    async def _work(self, what: str) -> None:
        self.begun.append(what)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.given_up.append(what)
            raise
        if self.fault is not None:
            raise self.fault


class Stage:
    """A talk, its half and its far end."""

    def __init__(self) -> None:
        self.half, self.far, self.status = Half(), FarEnd(), Status()
        ground = self.half.ground
        link = LinkGround(
            node=ground, session=cast("Session", self.far), status=self.status, supervisor=ground.supervisor
        )
        self.talk = WorkerGenerations(cast("Generations", self.half), link)

    async def ask(self, command: Command, payload: bytes = b"") -> g.Answer:
        answer: g.Answer = g.decode_answer(await self.reply(command, payload))
        return answer

    async def reply(self, command: Command, payload: bytes = b"") -> bytes:
        reply: Any = self.talk.serves()[command](payload)
        if asyncio.iscoroutine(reply):
            reply = await reply
        return bytes(reply.payload)

    async def check(self, root: bytes = HERE, number: int = 3) -> g.Answer:
        return await self.ask(c.GEN_CHECK, g.encode(g.Standing(root, number)))

    def last(self, kind: str = "integrity") -> Any:
        return self.status.snapshot().kinds[kind].last


def on_stage(story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        await story(Stage())

    run(whole())


def test_a_worker_says_where_it_stands_and_gets_the_step_from_there() -> None:
    async def story(stage: Stage) -> None:
        assert await stage.check(HERE) == OFFER
        assert stage.talk.root == HERE
        assert await stage.check(THERE) == IN_STEP
        assert stage.last().detail == "in step"
        assert await stage.check(THIRD) == g.Unknown()
        part, last = g.decode_part(await stage.reply(c.GEN_READ, g.encode(g.Read(OFFER.ticket, 70))))
        assert (bytes(part), last) == (b"70 of " + OFFER.ticket, True)

    on_stage(story)


def test_others_hear_of_no_generation_that_this_master_has_not_made() -> None:
    async def story(stage: Stage) -> None:
        stage.talk.joined()
        await stage.check(HERE, 3)
        await stage.check(HERE, 900)
        await stage.check(THERE, 0)
        await stage.reply(c.GEN_DONE, g.encode(g.Done(4, THERE)))
        await stage.reply(c.GEN_DONE, g.encode(g.Done(4, THERE, "no space")))
        stage.talk.lost("gone")
        assert stage.half.standings.at == [-2, 3, 4, 0, 4, 4, -1]

    on_stage(story)


def test_threat_46_an_answer_that_takes_long_is_asked_for_again_and_worked_out_once() -> None:
    async def story(stage: Stage) -> None:
        stage.half.seconds = 2.5 * PATIENCE_S
        loop = asyncio.get_running_loop()
        answers = [await stage.check() for _ in range(3)]
        assert answers == [g.News(4), g.News(4), OFFER]
        assert loop.time() == 2.5 * PATIENCE_S
        assert stage.half.begun == ["offer"]
        stage.half.seconds = 0
        assert await stage.check() == OFFER
        assert stage.half.begun == ["offer"] * 2, "an answer that was given is not given again"

    on_stage(story)


def test_an_answer_for_a_root_where_the_worker_stands_no_more_is_given_up() -> None:
    async def story(stage: Stage) -> None:
        stage.half.seconds = 2.5 * PATIENCE_S
        assert await stage.check(HERE) == g.News(4)
        stage.half.seconds = 0
        assert await stage.check(THERE) == IN_STEP
        assert stage.half.given_up == ["offer"]

    on_stage(story)


def test_nobody_works_for_a_worker_that_is_gone() -> None:
    async def story(stage: Stage) -> None:
        stage.half.seconds = 100
        asking = asyncio.create_task(stage.check())
        await asyncio.sleep(1)
        stage.talk.lost("gone")
        await asyncio.sleep(1)
        assert stage.half.given_up == ["offer"]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    on_stage(story)


def test_an_error_of_work_that_nobody_waits_for_any_more_is_raised_nowhere() -> None:
    async def story(stage: Stage) -> None:
        failures: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

        stage.half.seconds, stage.half.fault = 2 * PATIENCE_S, Refusal(1000, "no generation yet")
        assert await stage.check() == g.News(4)
        await asyncio.sleep(3 * PATIENCE_S)
        with pytest.raises(Refusal, match="no generation yet"):
            await stage.check()
        assert failures == []

    on_stage(story)


def test_a_report_and_chunks_come_in_their_order_and_count_once() -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(Refusal, match="gen_have comes after gen_check"):
            await stage.ask(c.GEN_HAVE, b"tree")
        await stage.check(THIRD)
        assert await stage.ask(c.GEN_HAVE, b"tree") == OFFER, "no large file: no chunks are wanted"
        with pytest.raises(Refusal, match="gen_sigs comes after gen_have, once"):
            await stage.ask(c.GEN_SIGS, b"chunks")
        stage.half.wants = ["etc/large"]
        assert await stage.ask(c.GEN_HAVE, b"tree") == g.Wanted(("etc/large",))
        assert await stage.ask(c.GEN_SIGS, b"chunks") == OFFER
        assert stage.half.begun[-2:] == ["report tree", "signatures chunks"]
        with pytest.raises(Refusal, match="once"):
            await stage.ask(c.GEN_SIGS, b"chunks")

    on_stage(story)


def test_what_became_of_a_step_is_kept_for_people() -> None:
    async def story(stage: Stage) -> None:
        await stage.check()
        await asyncio.sleep(7)
        await stage.reply(c.GEN_DONE, g.encode(g.Done(4, THERE, "", (1, 2, 3))))
        assert stage.talk.root == THERE
        assert (stage.last().ok, stage.last().seconds, stage.last().detail) == (True, 7, "generation 4")
        assert stage.last("integrity_sync").counts == {"missing": 1, "shared": 2, "extra": 3}
        sync = stage.last("integrity_sync")
        assert sync.bytes > 0
        assert sync.bytes + sync.saved == 1000
        standing = stage.status.snapshot().standing
        assert (standing.number, standing.root, standing.in_step) == (4, THERE.hex(), True)
        await stage.reply(c.GEN_DONE, g.encode(g.Done(5, HERE, "the disk is full")))
        assert stage.talk.root == THERE, "it stands where it stood"
        assert (stage.last().ok, stage.last().detail) == (False, "the disk is full")
        assert stage.status.snapshot().counters["worker_sync_failures"] == 1
        assert [one.reason for one in stage.status.snapshot().failures] == ["the disk is full"]
        assert stage.status.standing.reason == "does not take generation 5: the disk is full"

    on_stage(story)


def test_a_worker_that_cannot_be_told_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        stage.talk.tell(g.encode(OFFER))
        stage.far.answer = ConnectionLostError("gone")
        stage.talk.tell(g.encode(g.News(5)))
        await asyncio.sleep(1)
        assert stage.far.told == [(c.GEN_NEW, g.encode(OFFER)), (c.GEN_NEW, g.encode(g.News(5)))]

    with caplog.at_level(logging.DEBUG, "outrider"):
        on_stage(story)
    assert [one.getMessage() for one in caplog.records] == ["could not be told of a new generation: gone"]


@pytest.mark.parametrize("command", [c.GEN_CHECK, c.GEN_READ, c.GEN_DONE])
def test_threat_06_what_is_no_body_is_a_value_error(command: Command) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(ValueError, match="MessagePack"):
            await stage.reply(command, b"\xc1")

    on_stage(story)


def test_what_a_worker_cannot_take_is_one_alarm_until_it_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        stage.talk.joined()
        for _ in range(50):
            await stage.reply(c.GEN_DONE, g.encode(g.Done(4, THERE, "the disk is full")))
        retry = stage.status.snapshot().retries["Integrity sync"]
        assert (retry.failures, retry.next_try) == (50, None)
        assert retry.reason == "generation 4 is not taken, the worker reports: the disk is full"
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
            f"Integrity sync: {retry.reason}"
        ]
        await stage.reply(c.GEN_DONE, g.encode(g.Done(4, THERE)))
        assert stage.status.snapshot().retries == {}
        assert caplog.records[-1].getMessage().startswith("Integrity sync works again after 50 failures")
        await stage.reply(c.GEN_DONE, g.encode(g.Done(5, HERE, "the disk is full")))
        stage.talk.lost("gone")
        assert stage.status.snapshot().retries == {}

    with caplog.at_level(logging.DEBUG, "outrider"):
        on_stage(story)
