"""``outrider reload``: the node of this machine loads its settings again, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec

from outrider.cli.ask import client_options
from outrider.cli.options import WrongSettings, write_json
from outrider.codes import Code
from outrider.printable import printable
from outrider.protocol.api import Request
from outrider.settings import Change, Reloaded


@click.command("reload")
@client_options
def reload_settings(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Have the node of this machine load its settings again; no connection is dropped.

    Say what is in force at once and what waits for the next start. Settings that are not valid change nothing: exit
    code 2.
    """
    request = Request(call="outrider.reload", request_type="local_any")
    left = "the node may have loaded them all the same; `outrider status` and its log say so"
    answer = ask(lambda client: client.request(request), waits="the node to load its settings", left=left)
    reloaded = msgspec.convert(answer, Reloaded)
    if as_json:
        write_json(reloaded)
    else:
        _show(reloaded)
    if reloaded.errors:
        raise WrongSettings("\n".join(map(printable, reloaded.errors)), Code.SETTINGS)


def _show(reloaded: Reloaded) -> None:
    if reloaded.errors:
        click.echo("Nothing has changed: the settings are not valid.", err=True)
    elif not reloaded.changed and not reloaded.waiting:
        click.echo("The settings are as they were.")
    for title, changes in (("In force:", reloaded.changed), ("At the next start:", reloaded.waiting)):
        if changes:
            click.echo(title)
        for change in changes:
            click.echo(f"  {_line(change)}")


def _line(change: Change) -> str:
    return printable(f"{change.key}: {change.old} -> {change.new}")
