"""The table of calls: what may stand in it, how arguments are checked, names that mean nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.support.loop import run
from tests.support.relay import context_of

import outrider
from outrider.errors import Refusal
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers, handler


async def example(
    context: Context, agent: int, *, names: list[str] | None = None, kind: Literal["a", "b"] = "a"
) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"caller": context.caller, "agent": agent, "names": names, "kind": kind}


def bound(arguments: dict[str, Any], function: Callable[..., Any] = example) -> dict[str, Any]:
    async def story() -> dict[str, Any]:
        return handler("acme.x", function).bind(arguments, context_of(Handlers()))

    given = run(story())
    return {name: value for name, value in given.items() if not isinstance(value, Context)}


def test_arguments_become_what_their_types_say() -> None:
    assert bound({"agent": 1}) == {"agent": 1, "names": None, "kind": "a"}
    assert bound({"agent": 1, "names": ["x"], "kind": "b"}) == {"agent": 1, "names": ["x"], "kind": "b"}


def test_a_date_of_the_wire_becomes_a_date() -> None:
    def when(moment: datetime) -> None: ...

    assert bound({"moment": {"__wazuh_datetime__": "2026-01-02T03:04:05+00:00"}}, when) == {
        "moment": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "missing required argument `agent`"),
        ({"agent": "1"}, "Expected `int`, got `str`: `agent`"),
        ({"agent": True}, "Expected `int`, got `bool`: `agent`"),
        ({"agent": 1, "names": [1]}, r"Expected `str`, got `int`: `names\[0\]`"),
        ({"agent": 1, "kind": "c"}, "Invalid enum value 'c': `kind`"),
        ({"agent": 1, "other": 1}, "unknown argument `other`"),
        ({"agent": 1, "context": {}}, "unknown argument `context`"),
        ({"agent": 1, "self": 1}, "unknown argument `self`"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=f"acme.x does not take these arguments: .*{words}"):
        bound(arguments)


def test_the_decorator_fills_the_table_and_a_name_is_taken_once() -> None:
    table = Handlers()
    assert table.call("acme.example")(example) is example
    assert list(table) == ["acme.example"]
    assert len(table) == 1
    assert table["acme.example"].signature == (
        "acme.example(agent: int, names: list[str] | None = None, kind: Literal['a', 'b'] = 'a')"
    )
    with pytest.raises(ValueError, match=r"the name acme\.example is taken"):
        table.call("acme.example")(example)
    with pytest.raises(ValueError, match="is taken"):
        table.add(handler("acme.other", example), handler("acme.example", example))
    assert "acme.other" not in table


def no_type(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    return None


def any_number(*x: int) -> None: ...


def any_name(**x: int) -> None: ...


def by_place(x: int, /) -> None: ...


def no_such_type(x: object) -> None: ...


@pytest.mark.parametrize("function", [no_type, any_number, any_name, by_place])
def test_a_function_without_names_and_types_cannot_be_called_from_afar(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="needs a name and a type"):
        handler("acme.x", function)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a:b:c", "\u00e9", ".a", "a" * 300])
def test_a_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a call"):
        handler(name, example)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:eval",
        "acme.example.__class__",
        "acme.example.__globals__",
        "acme:example",
        "acme",
        "outrider.relay.handlers:Handlers",
        "outrider.relay.handlers:Handlers.__init__",
        "__class__",
        "cos\nsystem\n(S'id'\ntR.",
        "pickle:loads",
        "ACME.EXAMPLE",
        " acme.example",
        "",
    ],
)
def test_threat_18_a_name_that_is_not_in_the_table_means_nothing(name: str) -> None:
    table = Handlers()
    table.call("acme.example")(example)
    with pytest.raises(Refusal, match="no call named"):
        table.find(name)
    assert table.find("acme.example").function is example


@pytest.mark.parametrize("folder", ["exchange", "kinds", "master", "protocol", "relay", "sync", "transport", "worker"])
def test_threat_18_no_code_that_meets_a_peer_s_bytes_looks_a_name_up_outside_the_table(folder: str) -> None:
    words = re.compile(r"import_module|__import__|pickle|marshal\b|\beval\(|\bexec\(")
    for module in (Path(outrider.__path__[0]) / folder).rglob("*.py"):
        found = [line.strip() for line in module.read_text("utf-8").splitlines() if words.search(line)]
        assert found == [], module


def test_a_quick_call_is_a_plain_function() -> None:
    async def waits() -> str:
        return "late"

    with pytest.raises(ValueError, match="a quick call never waits"):
        Handlers().call("acme.x", quick=True)(waits)
