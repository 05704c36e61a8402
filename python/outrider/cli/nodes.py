"""``outrider worker`` and ``outrider master``: one node, until a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import click

import outrider
from outrider import logs
from outrider.cli.options import F, Failure, home_option, load_settings, settings_options
from outrider.codes import Code
from outrider.settings import Settings
from outrider.world import share_freed_memory

_SAME_WISH_S = 1
"""A signal within this after the first is the same wish: who signals a process often signals its group as well."""


class Runs(Protocol):
    """What both roles can do."""

    async def run(self) -> None:
        """Run until :meth:`stop`."""
        ...

    async def stop(self) -> None:
        """End all tasks in good order, then close."""
        ...


def node_options(command: F) -> F:
    """Add the options of a node."""
    levels = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
    command = click.option("--log-level", type=levels, help="Least severe line that is written.")(command)
    command = click.option("--name", help="The node's name; the same as --set node.name=NAME.")(command)
    return settings_options(home_option(command))


@click.command()
@node_options
def worker(**options: Any) -> None:
    """Run a worker: keep this home in step with the master's."""
    _start("worker", **options)


@click.command()
@node_options
def master(**options: Any) -> None:
    """Run a master: the home that all workers follow."""
    _start("master", **options)


def _start(
    role: Literal["worker", "master"],
    *,
    config: Path | None,
    home: str | None,
    pairs: tuple[str, ...],
    name: str | None,
    log_level: str | None,
) -> None:
    settings = load_settings(config, home, pairs, node__name=name, node__type=role, log__level=log_level)
    settings = settings.require(role)
    logs.configure(settings.log.level, form=settings.log.format, node=settings.node.name)
    share_freed_memory()
    asyncio.run(until_signal(outrider.Worker if role == "worker" else outrider.Master, settings))


async def until_signal(make: Callable[[Settings], Runs], settings: Settings) -> None:
    """Run one node until it ends or a signal asks it to; a second signal, later, does not wait for its tasks."""
    node = make(settings)
    tasks = [asyncio.create_task(node.run(), name="node")]
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    since = 0.0

    def ask() -> None:
        nonlocal since
        if not asked.is_set():
            since = loop.time()
            asked.set()
        elif loop.time() - since >= _SAME_WISH_S:
            for task in tasks:
                task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    waiting = asyncio.create_task(asked.wait(), name="signal")
    await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not tasks[0].done():
        tasks.append(asyncio.create_task(node.stop(), name="stop"))
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    if any(task.cancelled() for task in ended):
        raise Failure("stopped at once, before the node's tasks had ended", Code.STOPPED_AT_ONCE)
    for task in ended:
        task.result()
