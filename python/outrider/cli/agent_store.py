"""What ``outrider agents`` and ``outrider groups`` share: the embedded store of a home, open for one piece of work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from outrider.cli.options import F, Failure, home_option, load_settings, settings_options
from outrider.cli.progress import NOTHING_CHANGED, Count, shown
from outrider.client import LocalClient
from outrider.codes import Code
from outrider.errors import OutriderError, SettingsError
from outrider.protocol.api import Request
from outrider.settings import Settings
from outrider.store.choice import agents_file, embedded
from outrider.store.sqlite import SqliteStore
from outrider.world import real_ports

_NODE_ANSWERS_S = 5.0
_NOT_TOLD = "the change is made; a master that runs there sends it at its interval"
IN_PARTS = "each change was made whole or not at all; `outrider agents list` shows what there is"
"""What is left of several changes."""

T = TypeVar("T")


def store_options(command: F) -> F:
    """Add what says which store is meant, and ``--json``; :func:`with_store` reads it but for the last."""
    command = click.option("--json", "as_json", is_flag=True, help="Write the outcome for a program to read.")(command)
    return settings_options(home_option(command))


def with_store(
    work: Callable[[SqliteStore], Awaitable[T]],
    *,
    doing: str,
    config: Path | None,
    home: str | None,
    pairs: tuple[str, ...],
    make: bool = False,
    send: bool = False,
    quiet: bool = False,
    count: Callable[[], Count] | None = None,
    left: str | Callable[[], str] = NOTHING_CHANGED,
) -> T:
    """Run ``work`` with the store of a home, which a running node may use at the same time.

    :class:`Failure` if the home has none, unless ``make`` says that one may be made. ``send``: groups were changed,
    and a master that runs there sends them at once. What it is ``doing`` is shown unless it is ``quiet``.
    """
    settings = load_settings(config, home, pairs)
    _check(settings, make=make)
    with shown(doing, quiet=quiet, count=count, left=left):
        outcome = asyncio.run(_run(settings, work))
    if send:
        with shown("telling the node that runs there", quiet=quiet, left=_NOT_TOLD):
            _send(settings)
    return outcome


def _check(settings: Settings, *, make: bool) -> None:
    if settings.agents.store != "sqlite":
        raise SettingsError(
            f'agents.store = "{settings.agents.store}": these commands serve the embedded store; '
            'use the tools of the daemon, or set agents.store = "sqlite"'
        ).coded(Code.NO_SUCH_STORE)
    home = settings.node.home
    if not home.is_dir():
        raise Failure(f"{home} is no folder: name the home of a node, e.g. --home /var/ossec", Code.NO_FOLDER)
    if not make and not agents_file(settings).exists():
        raise Failure(
            f"there is no {agents_file(settings)} yet: a node or `outrider agents add` makes it", Code.NO_STORE_YET
        )


async def _run(settings: Settings, work: Callable[[SqliteStore], Awaitable[T]]) -> T:
    store = embedded(settings, real_ports())
    try:
        return await work(store)
    finally:
        await store.close()


def _send(settings: Settings) -> None:
    """Whatever comes of it: no node may run there, or a worker, and a master looks at its interval in any case."""
    with contextlib.suppress(OutriderError):
        client = LocalClient.of(settings, timeout_s=_NODE_ANSWERS_S)
        client.request(Request(call="outrider.send_groups", request_type="local_any"))
