"""A call is answered whatever its handler does, and harms nobody else (threat 49)."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.loop import run
from tests.support.relay import RealThreads, calls_of, context_of, settings_of

from outrider.errors import ConnectionLostError, Refusal, RequestTimeoutError
from outrider.exchange.pending import Pending
from outrider.protocol.api import Request
from outrider.protocol.faults import Failure
from outrider.protocol.results import WazuhResult, decode_result
from outrider.relay.calls import failure_of, read_request, seconds_for
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.relay.queue import RequestQueue, TooManyRequests
from outrider.settings import Live
from outrider.status import Status


def answered(
    function: Callable[..., Any], kwargs: dict[str, Any] | None = None, **limits: Any
) -> tuple[Any, dict[str, int]]:
    """What the call of ``function`` answers, and what was counted."""

    async def story() -> tuple[Any, dict[str, int]]:
        table = Handlers()
        table.call("acme.x")(function)
        context = context_of(table, settings_of(**limits))
        payload = await calls_of(table, context).answer(Request(call="acme.x", f_kwargs=kwargs or {}), "worker9")
        return decode_result(payload), dict(context.status.snapshot().counters)

    return run(story())


def test_an_asynchronous_handler() -> None:
    async def hello(context: Context, *, name: str) -> dict[str, str]:
        await asyncio.sleep(1)
        return {name: context.caller}

    assert answered(hello, {"name": "you"}) == ({"you": "worker9"}, {})


def quick(context: Context, *, what: str) -> dict[str, Any]:
    match what:
        case "refusal":
            raise Refusal(1730, "w9")
        case "error":
            raise KeyError("x")
        case "exit":
            sys.exit(3)
        case "cancel":
            raise asyncio.CancelledError
        case "rubbish":
            return ["not what was promised"]  # type: ignore[return-value]
        case "large":
            return {"text": "x" * 70_000}
    return {"caller": context.caller}


@pytest.mark.parametrize("outcome", ["good", "refusal", "error", "exit", "cancel", "rubbish", "large"])
def test_threat_49_a_quick_call_is_answered_at_once_whatever_it_does(outcome: str) -> None:
    async def story() -> tuple[Any, Any]:
        table = Handlers()
        table.call("acme.quick", quick=True)(quick)
        context = context_of(table, settings_of(result_bytes=65_536))
        answer = calls_of(table, context).answer(Request(call="acme.quick", f_kwargs={"what": outcome}), "me")
        assert isinstance(answer, Pending)
        assert answer.settled
        return decode_result(await answer), context.status.snapshot().counters

    answer, counters = run(story())
    match outcome:
        case "good":
            assert (answer, counters) == ({"caller": "me"}, {})
        case "refusal":
            assert (answer.code, counters) == (1730, {})
        case _:
            assert answer.code == 1000
            assert "the call acme.quick failed" in str(answer)
            assert counters == {"calls_failed": 1, "calls_failed.acme.quick": 1}


def test_a_plain_handler_runs_in_a_thread() -> None:
    def hello() -> WazuhResult:
        return WazuhResult({"thread": threading.current_thread() is not threading.main_thread()})

    async def story() -> Any:
        table = Handlers()
        table.call("acme.x")(hello)
        calls = calls_of(table, context_of(table, threads=RealThreads()))
        return decode_result(await calls.answer(Request(call="acme.x"), "me"))

    assert asyncio.run(story()) == WazuhResult({"thread": True})


def test_a_wrong_argument_is_a_result_that_names_it() -> None:
    async def hello(*, name: str) -> str:
        await asyncio.sleep(0)
        return name

    failure, counters = answered(hello, {"nome": "you"})
    assert isinstance(failure, Failure)
    assert (failure.name, failure.code) == ("WazuhError", 1000)
    assert "argument `nome`" in str(failure)
    assert counters == {}


def test_a_handler_may_refuse() -> None:
    async def refuse() -> None:
        await asyncio.sleep(0)
        raise Refusal(4000, "not you")

    assert answered(refuse) == (Failure(code=4000, extra_message="not you"), {})


async def raises() -> None:
    await asyncio.sleep(0)
    raise KeyError("gone")


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


async def raises_what_cannot_be_told() -> None:
    await asyncio.sleep(0)
    raise MuteError


def plainly_raises_what_cannot_be_told() -> None:
    raise MuteError


async def leaves() -> None:
    await asyncio.sleep(0)
    sys.exit(3)


async def interrupts() -> None:
    await asyncio.sleep(0)
    raise KeyboardInterrupt


async def calls_itself() -> Any:
    return await calls_itself()


async def answers_no_number() -> float:
    await asyncio.sleep(0)
    return float("nan")


async def cancels_itself() -> None:
    await asyncio.sleep(0)
    raise asyncio.CancelledError


async def answers_code() -> Any:
    await asyncio.sleep(0)
    return answers_code


async def lies() -> dict[str, int]:
    await asyncio.sleep(0)
    return {"a": "b"}  # type: ignore[dict-item]


async def lies_about_a_result() -> WazuhResult:
    await asyncio.sleep(0)
    return {"a": 1}  # type: ignore[return-value]


async def chatters() -> str:
    await asyncio.sleep(0)
    return "x" * 5000


async def circles() -> Any:
    await asyncio.sleep(0)
    one: list[Any] = []
    one.append(one)
    return one


def plainly_leaves() -> None:
    sys.exit(3)


def plainly_stops() -> None:
    raise StopIteration


def plainly_interrupts() -> None:
    raise KeyboardInterrupt


def plainly_cancels() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (raises, "'gone'"),
        (raises_what_cannot_be_told, "MuteError"),
        (plainly_raises_what_cannot_be_told, "MuteError"),
        (leaves, "3"),
        (cancels_itself, "CancelledError"),
        (interrupts, "KeyboardInterrupt"),
        (calls_itself, "recursion"),
        (answers_no_number, "not JSON compliant"),
        (answers_code, "type function cannot be sent"),
        (lies, "it answered what it did not promise: Expected `int`, got `str`"),
        (lies_about_a_result, "it answered what it did not promise"),
        (chatters, "5002 bytes, the limit is 2000 (limits.result_bytes)"),
        (circles, "Circular reference"),
        (plainly_leaves, "SystemExit: 3"),
        (plainly_interrupts, "KeyboardInterrupt"),
        (plainly_cancels, "CancelledError"),
        (plainly_stops, "StopIteration"),
    ],
)
def test_threat_49_a_handler_that_fails_is_named_counted_and_answered(
    function: Callable[..., Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        failure, counters = answered(function, result_bytes=2000)
    assert isinstance(failure, Failure)
    assert (failure.name, failure.code) == ("WazuhInternalError", 1000)
    assert "the call acme.x failed" in str(failure)
    assert words in str(failure)
    assert counters == {"calls_failed": 1, "calls_failed.acme.x": 1}
    assert "the call acme.x of worker9 failed" in caplog.text


def test_threat_49_handlers_that_block_hold_few_threads_and_half_for_one_name() -> None:
    gate, begun, running = threading.Event(), threading.Semaphore(0), []

    def block(*, number: int) -> int:
        running.append(number)
        begun.release()
        gate.wait(30)
        return number

    def quick() -> str:
        return "quick"

    async def story() -> None:
        table = Handlers()
        table.call("acme.block")(block)
        table.call("acme.quick")(quick)
        calls = calls_of(table, context_of(table, settings_of(calls_in_threads=4), threads=RealThreads()))
        blocked = [
            asyncio.ensure_future(calls.answer(Request(call="acme.block", f_kwargs={"number": number}), "a"))
            for number in range(10)
        ]
        try:
            for _ in range(2):
                assert await asyncio.to_thread(begun.acquire, timeout=30)
            assert await calls.answer(Request(call="acme.quick"), "b") == b'"quick"'
            assert sorted(running) == [0, 1]
            blocked[0].cancel()  # who gives up frees the caller, not the thread
            await asyncio.gather(blocked[0], return_exceptions=True)
            assert await calls.answer(Request(call="acme.quick"), "b") == b'"quick"'
            assert sorted(running) == [0, 1]
        finally:
            gate.set()
        assert [json.loads(answer) for answer in await asyncio.gather(*blocked[1:])] == list(range(1, 10))

    asyncio.run(story())


def test_threat_22_a_request_over_its_time_ends_its_handler() -> None:
    ended = []

    async def slow() -> None:
        try:
            await asyncio.sleep(500)
        finally:
            ended.append("slow")

    async def story() -> None:
        table = Handlers()
        table.call("acme.slow")(slow)
        settings = settings_of()
        calls = calls_of(table, context_of(table, settings))
        queue: RequestQueue[bytes] = RequestQueue(Live(settings), Status())
        request = Request(call="acme.slow", api_timeout=20)
        with pytest.raises(RequestTimeoutError):
            await queue.submit("a", lambda: calls.answer(request, "a"), seconds=seconds_for(request, settings))
        assert asyncio.get_running_loop().time() == 20
        await asyncio.sleep(0.001)
        assert ended == ["slow"]

    run(story())


@pytest.mark.parametrize("name", ["os:system", "acme.x.__class__", ""])
def test_threat_18_a_request_that_names_nothing_is_refused(name: str) -> None:
    async def story() -> None:
        table = Handlers()
        with pytest.raises(Refusal, match="this node has no call named"):
            await calls_of(table, context_of(table)).answer(Request(call=name), "a")

    run(story())


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"notjson", "Expecting value: line 1 column 1 (char 0)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"x" * 100 * 1024 * 1024, "a request of 104857600 bytes is too large: the limit is 1048576"),
        (b"[" * 10_000 + b"]" * 10_000, "it is nested too deep"),
        (b"{}", "Object missing required field `f`"),
    ],
    ids=["no JSON", "empty", "100 MiB", "deep", "no f"],
)
def test_threat_19_what_is_no_request_has_an_error_with_a_text_for_its_caller(payload: bytes, text: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read_request(payload, settings_of(), Status())
    assert str(refusal.value.detail).startswith(text)


def test_a_request_is_read() -> None:
    request = Request(call="acme.x", f_kwargs={"a": 1})
    assert read_request(request.encode(), settings_of(), Status()) == request


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        (Request(call="x"), 200),
        (Request(call="x", api_timeout=3), 10),
        (Request(call="x", api_timeout=60), 60),
        (Request(call="x", api_timeout=9999), 200),
        (Request(call="x", wait_for_complete=True, api_timeout=1), 3600),
    ],
)
def test_how_long_a_request_may_take(request_: Request, seconds: float) -> None:
    assert seconds_for(request_, settings_of()) == seconds


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TooManyRequests(1000, "w"), Failure(name="WazuhTooManyRequests", code=1000, extra_message="w")),
        (Refusal(1724, "w"), Failure(code=1724, extra_message="w")),
        (RequestTimeoutError("w"), Failure.of_cluster(3021, "w")),
        (ConnectionLostError("w"), Failure.of_cluster(3022, "w")),
        (KeyError("w"), Failure.internal("'w'")),
        (KeyError(), Failure.internal("KeyError")),
    ],
)
def test_what_a_caller_is_told_of_an_error(error: Exception, failure: Failure) -> None:
    assert failure_of(error) == failure
