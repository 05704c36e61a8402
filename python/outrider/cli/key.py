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

from outrider.cli.ask import NoNode, client_options, print_rows
from outrider.cli.durations import Span
from outrider.cli.options import Failure, write_json
from outrider.cli.progress import NOTHING_CHANGED, Count, of, shown
from outrider.codes import Code
from outrider.errors import ConnectionLostError
from outrider.printable import printable
from outrider.protocol.api import Request

_GOES_ON = "what the master has begun goes on; `outrider key status` shows how far it is"
_GOES_ON_LATER = "the rotation goes on when the master is back; `outrider key status` shows how far it is"
_GO_ON = "to go on nevertheless: outrider key rotate --yes"
_GOES_ON_WITHOUT = f"the rotation waits until they can, or have gone; {_GO_ON}; to take it back: outrider key abort"
_SPREADING = {"adding", "sealing"}
"""The phases in which workers are still to learn the key, or to seal with it."""
_DONE = {"followed", "away"}
"""The states of workers that nobody waits for."""
_LOOKS_S = 0.5
_STUCK_LOOKS = 20
"""So often in a row nobody but those who cannot learn the key is waited for; one that joins is such for a moment."""


@click.group()
def key() -> None:
    """The cluster key: how it stands, and its rotation."""


@key.command()
@click.option("--window", type=Span(min=0), help="Seconds for which the old key still opens.")
@click.option("--yes", is_flag=True, help="Go on although some workers cannot learn the new key.")
@click.option("--wait", is_flag=True, help="Return once this master and all connected workers seal with the new key.")
@client_options
def rotate(*, window: float | None, yes: bool, wait: bool, as_json: bool, ask: Callable[..., Any]) -> None:
    """Replace the cluster key without a pause, on this master and all its workers that can learn it."""
    unable = _unable(_ask_here(ask, "outrider.key_status"))
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
    """How the keys stand once all who can seal with the new one; :class:`Failure` where it cannot come to that."""
    last, stuck = status, 0
    with shown("rotating the key", quiet=quiet, count=lambda: _count_of(last), left=_GOES_ON):
        while last.get("phase") in _SPREADING:
            stuck = stuck + 1 if _is_stuck(last) else 0
            if stuck == _STUCK_LOOKS:
                raise Failure("\n".join([*_told_of(_unable(last)), _GOES_ON_WITHOUT]), Code.ROTATION_LEAVES_OUT)
            time.sleep(_LOOKS_S)
            try:
                last = _ask_here(ask, "outrider.key_status", _GOES_ON, quiet=True)
            except (NoNode, ConnectionLostError) as error:
                raise NoNode(f"{error}; {_GOES_ON_LATER}", error.lines[0].code) from error
    return last


def _is_stuck(status: dict[str, Any]) -> bool:
    """Whether the master waits for a person: for workers that cannot learn the key, and for no others."""
    return status["phase"] == "adding" and {one["state"] for one in status.get("workers", ())} - _DONE == {"cannot"}


def _unable(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in status.get("workers", ()) if one["state"] == "cannot"]


def _told_of(unable: list[dict[str, Any]]) -> list[str]:
    return [printable(f"{one['name']} cannot learn the new key: {one['why']}") for one in unable]


def _count_of(status: dict[str, Any]) -> Count:
    """How many of the workers that can have followed into the phase."""
    able = [one["state"] for one in status.get("workers", ()) if one["state"] in {"follows", "followed"}]
    done = able.count("followed")
    return Count(done, len(able) or None, f"{status.get('phase', '')}: {of(done, len(able), 'worker')}")


def _confirm(unable: list[dict[str, Any]]) -> None:
    """Ask a person; :class:`Failure` where there is none to ask."""
    lines = [*_told_of(unable), "each must be given it by hand before the window is over, or it is shut out"]
    if not at_a_terminal():
        raise Failure("\n".join([*lines, _GO_ON]), Code.ROTATION_LEAVES_OUT)
    for line in lines:
        click.echo(line, err=True)
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
