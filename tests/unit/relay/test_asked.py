"""The answers of several nodes to one request: in their order, within their time, within their bytes."""

from __future__ import annotations

import asyncio
import json

from tests.support.loop import run
from tests.support.requests import code

from outrider.errors import ConnectionLostError
from outrider.exchange.pending import Pending
from outrider.relay.asked import Asked, merged
from outrider.relay.routes import Answer


def pendings(asked: Asked, ended: list[str], *names: str) -> dict[str, Pending[Answer]]:
    made: dict[str, Pending[Answer]] = {}
    for name in names:
        made[name] = Pending(lambda name=name: ended.append(name))  # type: ignore[misc]
        asked.add(name, made[name])
    return made


def test_answers_come_in_the_order_of_the_nodes_and_an_error_is_a_failure_of_its_node() -> None:
    async def story() -> None:
        asked, ended = Asked(1000), list[str]()
        nodes = pendings(asked, ended, "a", "b", "c")
        nodes["c"].settle(Answer(b"3"))
        waiting = asyncio.ensure_future(asked.answers(10))
        await asyncio.sleep(1)
        nodes["b"].settle(ConnectionLostError("gone"))
        nodes["a"].settle(Answer(b"1"))
        answers = await waiting
        assert list(answers) == ["a", "b", "c"]
        assert (answers["a"].body, code(answers["b"]), answers["c"].body) == (b"1", 3022, b"3")
        assert (asked.too_large, ended, asyncio.get_running_loop().time()) == (False, [], 1)

    run(story())


def test_who_is_late_has_failed_and_is_given_up() -> None:
    async def story() -> None:
        asked, ended = Asked(1000), list[str]()
        nodes = pendings(asked, ended, "quick", "late", "never")
        nodes["quick"].settle(Answer(b"1"))
        answers = await asked.answers(10)
        asked.give_up()
        assert [code(answers[name]) for name in ("late", "never")] == [3021, 3021]
        assert (answers["quick"].body, ended) == (b"1", ["late", "never"])
        assert asyncio.get_running_loop().time() == 10

    run(story())


def test_what_is_beyond_the_bytes_of_all_is_a_failure_of_its_node() -> None:
    async def story() -> None:
        asked = Asked(100)
        nodes = pendings(asked, [], "a", "b")
        nodes["a"].settle(Answer(b"x" * 60))
        nodes["b"].settle(Answer(b"x" * 60))
        answers = await asked.answers(10)
        assert asked.too_large
        assert (answers["a"].body, code(answers["b"])) == (b"x" * 60, 1000)
        assert b"limits.result_bytes" in answers["b"].body

    run(story())


def test_nobody_to_ask_is_no_wait() -> None:
    assert run(Asked(100).answers(10)) == {}


def test_what_is_no_result_is_a_failure_among_the_merged() -> None:
    answers = {"good": Answer(b'{"text": 1}'), "bad": Answer(b"no", ok=False), "odd": Answer(b"{")}
    found = json.loads(merged(answers))
    said = [found[node]["__wazuh_exception__"]["__object__"]["extra_message"] for node in ("bad", "odd")]
    assert found["good"] == {"text": 1}
    assert said[0] == "no"
    assert said[1].startswith("its answer is not JSON")
