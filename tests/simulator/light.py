"""What every simulated cluster has in common, made once: settings, calls, certificates. It depends on no seed."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography.fernet import InvalidToken
from msgspec import structs

from outrider.ports import Identity
from outrider.relay.builtin import builtin
from outrider.relay.context import Context
from outrider.relay.handlers import Handler, Handlers, handler
from outrider.settings import Settings
from outrider.store.identity import identity_of
from outrider.store.outbox import _connect

KEY = "0123456789abcdefghijklmnopqrstuv"
MASTER_ADDRESS = "10.0.0.1"
PORT = 1516
TOUCH = "simulation.touch"
"""The call that notes that it ran, and gives back what it was asked with."""

TOUCHED: list[tuple[int, str]] = []
"""Which requests ran, and at which node, since the last seed began."""

_INTERVALS = {
    "worker.sync_integrity": 20,
    "worker.sync_agent_info": 15,
    "worker.sync_agent_groups": 15,
    "worker.keep_alive": 20,
    "worker.connection_retry": 5,
    "worker.max_failed_keepalive_attempts": 2,
    "master.recalculate_integrity": 20,
    "master.agent_group_start_delay": 5,
    "master.sync_agent_groups": 15,
    "master.check_worker_lastkeepalive": 20,
    "master.max_allowed_time_without_keepalive": 60,
    "communication.timeout_cluster_request": 10,
    "communication.timeout_dapi_request": 30,
    "communication.timeout_receiving_file": 40,
}


@cache
def _settings(role: str) -> Settings:
    plain = {
        "node.home": "/nowhere",
        "node.type": role,
        "link.nodes": [MASTER_ADDRESS],
        "link.key": KEY,
        "tree.files": [{"folder": "tree/", "remove_subdirs_if_empty": True}],
        "tree.threads": 1,
        "intervals.master.process_pool_size": 1,
        **{f"intervals.{name}": value for name, value in _INTERVALS.items()},
    }
    return Settings.from_mapping(plain)


def settings_of(role: str, name: str, home: Path, link: str) -> Settings:
    """Those of one node; ``link`` is what it requires of its links."""
    plain = _settings(role)
    node = structs.replace(plain.node, name=name, home=home)
    return structs.replace(plain, node=node, link=structs.replace(plain.link, require=link))


async def _touch(context: Context, *, token: int) -> int:
    TOUCHED.append((token, context.node.name))
    return token


@cache
def _rows() -> tuple[Handler, ...]:
    return *builtin().values(), handler(TOUCH, _touch)


def _table() -> Handlers:
    table = Handlers()
    table.add(*_rows())
    return table


_SELDOM_S = 60.0
_SIGNATURES: dict[str, Handler] = {}


def _handler(name: str, function: Callable[..., Any], *, quick: bool = False) -> Handler:
    """The row of a call that each node adds for itself: its arguments are the same at all of them."""
    if name not in _SIGNATURES:
        _SIGNATURES[name] = handler(name, function, quick=quick)
    return replace(_SIGNATURES[name], function=function)


class PlayedFernet:
    """The cipher of a base link as the network in memory plays it: a token names its key, and hides nothing."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt_at_time(self, plain: bytes, seconds: int) -> bytes:
        del seconds
        return self._key + plain

    def decrypt(self, token: bytes) -> bytes:
        if not token.startswith(self._key):
            raise InvalidToken
        return token[len(self._key) :]


def _prepared(empty: Path) -> Callable[[Path], sqlite3.Connection]:
    """How an outbox is opened where a new one is a copy of one that was made before."""
    empty.parent.mkdir(parents=True, exist_ok=True)
    empty.unlink(missing_ok=True)
    _connect(empty).close()
    content = empty.read_bytes()

    def connect(path: Path) -> sqlite3.Connection:
        if not path.exists():
            path.write_bytes(content)
        return _connect(path)

    return connect


@contextmanager
def light(folder: Path) -> Iterator[None]:
    """While this is open nodes start quickly; ``folder`` takes what they share."""

    @cache
    def identity(name: str) -> Identity:
        return identity_of(folder / "identities" / name, name.encode().ljust(32, b"."))

    gc.collect()
    gc.freeze()
    gc.disable()  # what a seed leaves goes with the process that ran it
    with ExitStack() as patches:
        for what, played in {
            "outrider.plugins.builtin": _table,
            "outrider.plugins._installed": lambda: ([], []),
            "outrider.store.credentials.identity_of": lambda home, _: identity(home.name),
            "outrider.exchange.extension.version": lambda _: "0.1.0",
            "outrider.relay.handlers.handler": _handler,
            "outrider.protocol.seal.Fernet": PlayedFernet,
            "pathlib.Path.resolve": lambda path: path,  # no home lies behind a link
            "outrider.worker.identity.LOOK_S": _SELDOM_S,  # nobody changes a certificate here
            "outrider.master.identity.LOOK_S": _SELDOM_S,
            "outrider.store.outbox._connect": _prepared(folder / "outbox.db"),
        }.items():
            patches.enter_context(patch(what, played))
        try:
            yield
        finally:
            gc.enable()
            gc.unfreeze()
