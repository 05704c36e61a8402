"""``outrider worker`` and ``outrider master``: one node, until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

import outrider
from outrider import logs
from outrider.cli.options import F, Failure, home_option, load_settings, settings_options
from outrider.codes import Code
from outrider.service import Node, Service
from outrider.settings import Settings
from outrider.transport.notify import ServiceManager
from outrider.world import share_freed_memory

_SAME_WISH_S = 1
"""A signal within this after the first is the same wish: who signals a process often signals its group as well."""


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
    _write_log(settings)
    share_freed_memory()

    def make(settings: Settings) -> Node:
        node = outrider.Worker(settings) if role == "worker" else outrider.Master(settings)
        node.when_settings_change(lambda: _write_log(node.settings))
        return node

    asyncio.run(until_signal(make, settings))


def _write_log(settings: Settings) -> None:
    logs.configure(settings.log.level, form=settings.log.format, node=settings.node.name)


async def until_signal(make: Callable[[Settings], Node], settings: Settings) -> None:
    """Run one node until it ends or a signal asks it to; a second signal, later, does not wait for its tasks.

    SIGHUP has it load its settings again; at a terminal, which is gone then, it is a signal to end.
    """
    node = make(settings)
    service = Service(node, ServiceManager.of(os.environ))
    beside = {asyncio.create_task(service.accompany(), name="service")}
    tasks = [asyncio.create_task(node.run(), name="node")]
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    since = 0.0

    def ask() -> None:
        nonlocal since
        if not asked.is_set():
            since = loop.time()
            service.stopping()
            asked.set()
        elif loop.time() - since >= _SAME_WISH_S:
            for task in tasks:
                task.cancel()

    def reload() -> None:
        beside.add(asyncio.create_task(service.reload(), name="reload"))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    loop.add_signal_handler(signal.SIGHUP, ask if _at_terminal() else reload)
    waiting = asyncio.create_task(asked.wait(), name="signal")
    await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not tasks[0].done():
        tasks.append(asyncio.create_task(node.stop(), name="stop"))
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    await _give_up(beside)
    service.close()
    if any(task.cancelled() for task in ended):
        raise Failure("stopped at once, before the node's tasks had ended", Code.STOPPED_AT_ONCE)
    for task in ended:
        task.result()


async def _give_up(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
