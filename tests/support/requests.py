"""Requests as programs send them, and calls whose end a test decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from outrider.protocol.api import Request
from outrider.relay.builtin import builtin
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.relay.routes import Answer


def ask(call: str, arguments: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A request; everywhere unless its fields say otherwise."""
    return Request(call=call, f_kwargs=arguments or {}, **{"request_type": "distributed_master", **fields}).encode()


def body(answer: Answer) -> Any:
    """The JSON of a result."""
    assert answer.ok, answer.body
    return json.loads(answer.body)


def code(answer: Answer) -> int:
    """The code of a failure that is a result."""
    return int(body(answer)["__wazuh_exception__"]["__object__"]["code"])


class Slow:
    """Adds ``test.sleep``, ``test.large`` and ``test.plain`` to every node; knows who ran the first, who gave it up."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.cancelled: list[str] = []

    def table(self) -> Handlers:
        table = builtin()

        @table.call("test.sleep")
        async def sleep(context: Context, *, seconds: float) -> str:
            self.running.append(context.node.name)
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.cancelled.append(context.node.name)
                raise
            return f"{context.node.name} for {context.caller}"

        @table.call("test.large")
        async def large(*, size: int) -> str:
            return "x" * size

        @table.call("test.plain")
        def plain(context: Context) -> str:
            return context.node.name

        return table


@contextmanager
def slow_calls() -> Iterator[Slow]:
    """Nodes that start meanwhile know the calls of :class:`Slow`, as if a package had brought them."""
    slow = Slow()
    with patch("outrider.plugins.builtin", slow.table):
        yield slow
