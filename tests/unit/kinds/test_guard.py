"""What a kind raises is named, counted and answered; what its peer did wrong is the peer's."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest
from tests.support.loop import run

from outrider.errors import Refusal, SettingsError, StoreError
from outrider.exchange.session import Serve
from outrider.kinds.guard import Guard
from outrider.logs import Tag, task_logger
from outrider.protocol.commands import ECHO
from outrider.protocol.faults import INTERNAL
from outrider.status import Status
from outrider.transport.answers import Reply


class Guarded:
    """A guard, and what it counted."""

    def __init__(self) -> None:
        self.status = Status()
        self.guard = Guard("clock", self.status, task_logger(Tag.CLUSTER, "node01"))

    @property
    def failures(self) -> int:
        return self.status.snapshot().counters.get("kind_clock_failed", 0)

    def answer(self, serve: Any) -> Reply:
        """What a request that ``serve`` serves is answered with."""

        async def asked() -> Reply:
            guarded: Serve = self.guard.serve(ECHO, serve)
            reply: Reply | Awaitable[Reply] = guarded(b"x")
            return reply if isinstance(reply, Reply) else await reply

        return run(asked())


def serves_later(outcome: Any) -> Any:
    async def serve(_: bytes) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return serve


def serves_now(outcome: Any) -> Any:
    def serve(_: bytes) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return serve


@pytest.mark.parametrize("serves", [serves_now, serves_later])
def test_a_good_answer_passes(serves: Any) -> None:
    guarded = Guarded()
    assert guarded.answer(serves(Reply(b"y"))) == Reply(b"y")
    assert guarded.failures == 0


@pytest.mark.parametrize("serves", [serves_now, serves_later])
@pytest.mark.parametrize("outcome", [RuntimeError("no"), StoreError("no"), b"rubbish", None, Reply("text")])  # type: ignore[arg-type]
def test_threat_49_a_failure_is_an_error_s_answer_that_tells_the_peer_no_more_than_its_type(
    serves: Any, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    guarded = Guarded()
    with caplog.at_level(logging.ERROR, "outrider"), pytest.raises(Refusal) as refusal:
        guarded.answer(serves(outcome))
    wanted = type(outcome).__name__ if isinstance(outcome, Exception) else "TypeError"
    assert (refusal.value.code, refusal.value.detail) == (INTERNAL, wanted)
    assert guarded.failures == 1
    assert "clock failed at echo: " in caplog.text


@pytest.mark.parametrize("serves", [serves_now, serves_later])
@pytest.mark.parametrize("error", [Refusal(3027, "x"), ValueError("no JSON")])
def test_what_the_peer_did_wrong_is_no_failure_of_the_kind(serves: Any, error: Exception) -> None:
    guarded = Guarded()
    with pytest.raises(type(error)):
        guarded.answer(serves(error))
    assert guarded.failures == 0


def test_a_task_s_failures_are_counted_and_left_to_who_runs_it() -> None:
    guarded = Guarded()

    async def fails(error: Exception) -> None:
        raise error

    async def story() -> None:
        for error, counted in ((RuntimeError("a defect"), 1), (StoreError("expected"), 1)):
            ((name, work),) = guarded.guard.tasks(lambda error=error: [("tick", partial(fails, error))])  # type: ignore[misc]
            assert name == "tick"
            with pytest.raises(type(error)):
                await work()
            assert guarded.failures == counted
        ((_, work),) = guarded.guard.tasks(lambda: [("tick", partial(fails, SettingsError("its own")))])
        await work()
        assert guarded.failures == 2

    run(story())
