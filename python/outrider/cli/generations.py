"""``outrider generations``, ``rollback`` and ``approve``: a master's last trees, and a way back for both roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from outrider.cli.ask import Refused, client_options, print_rows
from outrider.cli.options import write_json
from outrider.codes import Code
from outrider.printable import counted, printable
from outrider.protocol.api import Request


@click.group()
def generations() -> None:
    """The last trees of the master: each change of it made one."""


@generations.command("list")
@client_options
def list_generations(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """List the generations that the master keeps, the latest last."""
    rows = ask(lambda client: client.call("outrider.generations"))
    if as_json:
        write_json(rows)
    else:
        print_rows(("", "NUMBER", "MADE", "FILES", "KEPT BYTES", "ROOT"), [_row(one) for one in rows])


@generations.command()
@click.argument("number", type=click.IntRange(min=1))
@client_options
def show(*, number: int, as_json: bool, ask: Callable[..., Any]) -> None:
    """Show what generation NUMBER changed."""
    shown = ask(lambda client: client.call("outrider.generation", number=number))
    if as_json:
        write_json(shown)
        return
    one = shown["generation"]
    click.echo(
        f"generation {one['number']}, {_moment(one['time'])}, {counted(one['files'], 'file')}, root {one['root']}"
    )
    if shown["before"] is None:
        click.echo("the one before it is not kept")
        return
    for sign, group in (("+", "added"), ("~", "changed"), ("-", "deleted")):
        for path in shown[group]:
            click.echo(printable(f"{sign} {path}"))
    if shown["more"]:
        click.echo(f"and {shown['more']:,} more")


@generations.command("rollback")
@click.argument("number", type=click.IntRange(min=1))
@client_options
def rollback_to(*, number: int, as_json: bool, ask: Callable[..., Any]) -> None:
    """Make this master's tree what it was in generation NUMBER; every worker follows."""
    left = "the master may go on with it; `outrider generations list` marks the tree that it has"
    waits = f"the tree of generation {number}"
    with _only_at(
        "master",
        ask,
        "this node is a worker, whose generations its master makes: run this at the master, or take this node alone "
        "back with `outrider rollback`",
    ):
        one = _ask_here(ask, "outrider.generations_rollback", waits, left, number=number)
    if as_json:
        write_json(one)
    else:
        click.echo(f"the tree is that of generation {number} again; as the latest it is generation {one['number']}")


@click.command()
@client_options
def rollback(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Put this worker's tree back to what it was before the last step; that generation is not taken again.

    The next one is, whatever it holds.
    """
    left = "the node may go on with it; `outrider status` shows the generation that it has"
    with _only_at("worker", ask, "this node is a master, which goes back with `outrider generations rollback NUMBER`"):
        changes = _ask_here(ask, "outrider.rollback", "the tree before the last step", left)
    if as_json:
        write_json({"changes": changes})
    else:
        click.echo(f"{counted(changes, 'change')} taken back; this node waits for the master's next generation")


@click.command()
@client_options
def approve(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """Let a step that is held back delete what it wants: on a worker there, on a master everywhere."""
    left = "the step may be approved all the same; the node's log says so"
    root = _ask_here(ask, "outrider.approve", "the node's approval", left)
    if as_json:
        write_json({"root": root})
    else:
        click.echo(f"the step that was held back may delete what it wants (root {root[:16]}...)")


def _ask_here(ask: Callable[..., Any], call: str, waits: str, left: str, **arguments: Any) -> Any:
    """Ask the node of this machine itself, whatever its role."""
    request = Request(call=call, f_kwargs=arguments, request_type="local_any")
    return ask(lambda client: client.request(request), waits=waits, left=left)


@contextmanager
def _only_at(role: str, ask: Callable[..., Any], instead: str) -> Iterator[None]:
    """What a node of another role refuses it does not know: say what to do there."""
    try:
        yield
    except Refused as refused:
        who = ask(lambda client: client.request(Request(call="outrider.node", request_type="local_any")))
        if who["type"] == role:
            raise
        raise Refused(instead, Code.USAGE) from refused


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    mark = "*" if one["current"] else ""
    return mark, str(one["number"]), _moment(one["time"]), f"{one['files']:,}", f"{one['bytes']:,}", one["root"][:16]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
