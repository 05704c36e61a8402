"""``outrider key``: how the cluster key stands, its rotation, and the way back from one that has only begun.

The node of this machine does it; no command takes or shows a key, only the ids by which keys are told apart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from outrider.cli.ask import client_options, print_rows
from outrider.cli.options import Failure, write_json
from outrider.codes import Code
from outrider.printable import printable
from outrider.protocol.api import Request


@click.group()
def key() -> None:
    """The cluster key: how it stands, and its rotation."""


@key.command()
@click.option("--window", type=click.FloatRange(min=0), help="Seconds for which the old key still opens.")
@click.option("--yes", is_flag=True, help="Go on although some workers cannot learn the new key.")
@client_options
def rotate(*, window: float | None, yes: bool, as_json: bool, ask: Callable[..., Any]) -> None:
    """Replace the cluster key without a pause, on this master and all its workers that can learn it."""
    unable = [one for one in _ask_here(ask, "outrider.key_status").get("workers", ()) if one["state"] == "cannot"]
    if unable and not yes:
        _confirm(unable)
    arguments = {} if window is None else {"window_s": window}
    _show(_ask_here(ask, "outrider.key_rotate", anyway=bool(unable) or yes, **arguments), as_json=as_json)


@key.command("status")
@client_options
def key_status(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Show which keys this node holds, by their ids, and at a master how far a rotation is."""
    _show(_ask_here(ask, "outrider.key_status"), as_json=as_json)


@key.command()
@client_options
def abort(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Give up a rotation with whose key nobody seals yet."""
    _show(_ask_here(ask, "outrider.key_abort"), as_json=as_json)


def _confirm(unable: list[dict[str, Any]]) -> None:
    """Ask a person; :class:`Failure` where there is none to ask."""
    lines = [f"{one['name']} cannot learn the new key: {one['why']}" for one in unable]
    lines.append("each must be given it by hand before the window is over, or it is shut out")
    if not at_a_terminal():
        raise Failure(
            "\n".join([*map(printable, lines), "to go on nevertheless: outrider key rotate --yes"]),
            Code.ROTATION_LEAVES_OUT,
        )
    for line in lines:
        click.echo(printable(line), err=True)
    click.confirm("Rotate the key nevertheless?", abort=True, err=True)


def at_a_terminal() -> bool:
    """Whether there is a person who could answer."""
    return sys.stdin.isatty()


def _ask_here(ask: Callable[..., Any], call: str, **arguments: Any) -> Any:
    """Ask the node of this machine itself, whatever its role."""
    return ask(lambda client: client.request(Request(call=call, f_kwargs=arguments, request_type="local_any")))


def _show(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_json(status)
        return
    first, *others = status["holds"]
    click.echo(f"seals with {first}" + (f", opens {', '.join(others)} as well" if others else ""))
    if status["cannot"]:
        click.echo(printable(f"cannot be rotated here: {status['cannot']}"))
    if status.get("phase"):
        click.echo(f"rotation to {status['new']}: {status['phase']}{_until(status)}")
    if workers := status.get("workers"):
        print_rows(("WORKER", "STATE", "WHY"), [(one["name"], one["state"], one["why"]) for one in workers])


def _until(status: dict[str, Any]) -> str:
    if status["phase"] != "window":
        return ""
    return datetime.fromtimestamp(status["until"], UTC).strftime(" until %Y-%m-%d %H:%M:%SZ")
