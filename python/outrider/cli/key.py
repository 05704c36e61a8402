"""``outrider key``: how the cluster key stands, its rotation, and the way back from one that has only begun.

The node of this machine does it; no command takes or shows a key, only the ids by which keys are told apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from outrider.cli.ask import client_options, print_rows
from outrider.cli.options import Failure, write_json
from outrider.cli.progress import NOTHING_CHANGED, Count, of, shown
from outrider.codes import Code
from outrider.printable import printable
from outrider.protocol.api import Request

_GOES_ON = "what the master has begun goes on; `outrider key status` shows how far it is"
_SPREADING = {"adding", "sealing"}
"""The phases in which workers are still to learn the key, or to seal with it."""
_LOOKS_S = 0.5


@click.group()
def key() -> None:
    """The cluster key: how it stands, and its rotation."""


@key.command()
@click.option("--window", type=click.FloatRange(min=0), help="Seconds for which the old key still opens.")
@click.option("--yes", is_flag=True, help="Go on although some workers cannot learn the new key.")
@click.option("--wait", is_flag=True, help="Return once this master and all connected workers seal with the new key.")
@client_options
def rotate(*, window: float | None, yes: bool, wait: bool, as_json: bool, ask: Callable[..., Any]) -> None:
    """Replace the cluster key without a pause, on this master and all its workers that can learn it."""
    unable = [one for one in _ask_here(ask, "outrider.key_status").get("workers", ()) if one["state"] == "cannot"]
    if unable and not yes:
        _confirm(unable)
    arguments: dict[str, Any] = {} if window is None else {"window_s": window}
    begun = _ask_here(ask, "outrider.key_rotate", _GOES_ON, anyway=bool(unable) or yes, **arguments)
    _show(_followed(ask, begun, quiet=as_json) if wait else begun, as_json=as_json)


@key.command("status")
@client_options
def key_status(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Show which keys this node holds, by their ids, and at a master how far a rotation is."""
    _show(_ask_here(ask, "outrider.key_status"), as_json=as_json)


@key.command()
@client_options
def abort(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Give up a rotation with whose key nobody seals yet."""
    _show(_ask_here(ask, "outrider.key_abort", _GOES_ON), as_json=as_json)


def _followed(ask: Callable[..., Any], status: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """How the keys stand once all who can seal with the new one."""
    last = status
    with shown("rotating the key", quiet=quiet, count=lambda: _count_of(last), left=_GOES_ON):
        while last.get("phase") in _SPREADING:
            time.sleep(_LOOKS_S)
            last = _ask_here(ask, "outrider.key_status", _GOES_ON, quiet=True)
    return last


def _count_of(status: dict[str, Any]) -> Count:
    """How many of the workers that can have followed into the phase."""
    able = [one["state"] for one in status.get("workers", ()) if one["state"] in {"follows", "followed"}]
    done = able.count("followed")
    return Count(done, len(able) or None, f"{status.get('phase', '')}: {of(done, len(able))} workers")


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


def _ask_here(
    ask: Callable[..., Any], call: str, left: str = NOTHING_CHANGED, *, quiet: bool = False, **arguments: Any
) -> Any:
    """Ask the node of this machine itself, whatever its role."""
    request = Request(call=call, f_kwargs=arguments, request_type="local_any")
    return ask(lambda client: client.request(request), left=left, quiet=quiet)


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
