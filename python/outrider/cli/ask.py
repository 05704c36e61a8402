"""What the commands share that ask a running node: finding its socket, the hint where there is none, tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from outrider.cli.options import Failure, home_option, json_of, load_settings, settings_options
from outrider.cli.progress import NOTHING_CHANGED, shown
from outrider.client import ANSWER_S, LocalClient
from outrider.errors import ConnectionLostError, RefusedByPeer, RequestTimeoutError, TransportError
from outrider.printable import printable

_WIDTH = 200
"""Columns where no terminal says how many there are: a program that reads lines wants none folded."""


class NoNode(Failure):
    """No node runs; told apart from one that refuses by its exit code."""

    exit_code = 3


class Refused(Failure):
    """The node says no."""


def client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that find the node, and ``--json``; ``ask`` puts a question to its client.

    It shows what it ``waits`` for, unless ``quiet`` or for a program. ``left`` is what is so if that is interrupted.
    """

    @settings_options
    @home_option
    @click.option("--json", "as_json", is_flag=True, help="For programs.")
    @functools.wraps(command)
    def wrapped(*, config: Path | None, home: str | None, pairs: tuple[str, ...], as_json: bool, **rest: Any) -> Any:
        settings = load_settings(config, home, pairs)

        def ask(
            question: Callable[[LocalClient], Any],
            timeout_s: float = ANSWER_S,
            *,
            waits: str = "",
            left: str = NOTHING_CHANGED,
            quiet: bool = False,
        ) -> Any:
            whom = waits or f"the node of {settings.node.home}"
            text = f"waiting for {whom}, {timeout_s:g} s at most"
            try:
                with shown(text, quiet=quiet or as_json, left=left):
                    return question(LocalClient.of(settings, timeout_s=timeout_s))
            except (RequestTimeoutError, ConnectionLostError):
                raise
            except RefusedByPeer as error:  # the node's own words: whoever typed the command knows whom it asks
                raise Refused(error.detail or str(error), error.situation) from error
            except TransportError as error:
                raise NoNode(f"{error}, or name its home with --home DIR", error.situation) from error

        return command(ask=ask, as_json=as_json, **rest)

    return wrapped


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere the same in plain text."""
    console_of().print(table_of(columns, rows))


def console_of() -> Console:
    """Standard output."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of texts that may come from a peer: control characters are shown, and nothing is markup."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(Text(printable(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def answer_of(value: Any) -> str:
    """A value as one text: words as they are, the rest as JSON."""
    return value if isinstance(value, str) else json_of(value)
