"""``outrider nodes``, ``health`` and ``call``: the cluster as this machine's node knows it, and calls across it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from outrider.cli.ask import answer_of, client_options, print_rows
from outrider.cli.durations import Span
from outrider.cli.options import Failure, write_json
from outrider.client import LocalClient
from outrider.codes import Code
from outrider.printable import printable
from outrider.protocol.faults import Failure as Failed
from outrider.protocol.results import AffectedItemsWazuhResult, Unhandled, WazuhResult, parse

_DASH = "-"
_FAILED = (Failed, Unhandled)
_GOES_ON = "nobody waits for the answer any more; a call that changes something may still do it"


@click.command("nodes")
@client_options
def list_nodes(*, as_json: bool, ask: Callable[..., Any]) -> None:
    """List the nodes of the cluster, the master first."""
    found = ask(LocalClient.nodes)
    if as_json:
        write_json(found)
        return
    print_rows(
        ("NAME", "TYPE", "VERSION", "ADDRESS"), [(one.name, one.type, one.version, one.address) for one in found]
    )


@click.command()
@click.argument("names", metavar="[NODE]...", nargs=-1)
@client_options
def health(*, names: tuple[str, ...], as_json: bool, ask: Callable[..., Any]) -> None:
    """Show when each worker, or each NODE, was last in step and heard of."""
    found = ask(lambda client: client.health(*names))
    if as_json:
        write_json({"connected": found.connected, "nodes": found.nodes})
        return
    columns = ("NAME", "TYPE", "ACTIVE AGENTS", "LAST CHECK", "LAST SYNC", "AGENT INFO", "GROUPS", "KEEP-ALIVE")
    ordered = sorted(found.nodes.values(), key=lambda node: (node["info"]["type"] != "master", node["info"]["name"]))
    print_rows(columns, [_health_row(node) for node in ordered])


def _health_row(node: dict[str, Any]) -> tuple[str, ...]:
    info, status = node["info"], node.get("status", {})

    def end(name: str) -> str:
        round_ = status.get(name, {})
        return _moment(round_.get("date_end_master", round_.get("date_end")))

    agents = info.get("n_active_agents")
    return (
        info["name"],
        info["type"],
        _DASH if agents is None else str(agents),
        end("last_check_integrity"),
        end("last_sync_integrity"),
        end("last_sync_agentinfo"),
        end("last_sync_agentgroup"),
        _moment(status.get("last_keep_alive")),
    )


def _moment(date: Any) -> str:
    """A date of the wire without its parts of a second."""
    return str(date).partition(".")[0].replace("T", " ") if date not in {None, "n/a"} else _DASH


@click.command()
@click.argument("name")
@click.argument("words", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--node", "at", multiple=True, metavar="NODE", help="Call it at this node; may be repeated.")
@click.option("--all", "everywhere", is_flag=True, help="Call it at every node.")
@click.option("--timeout", type=Span(min=0, min_open=True), default=200.0, show_default=True, help="Seconds.")
@client_options
def call(
    *,
    name: str,
    words: tuple[str, ...],
    at: tuple[str, ...],
    everywhere: bool,
    timeout: float,
    as_json: bool,
    ask: Callable[..., Any],
) -> None:
    """Call NAME at the master, or at the nodes named; `outrider call outrider.calls` lists what there is.

    A VALUE that is JSON is what it says, any other is text: limit=5 is a number, name=web a text.
    """
    if at and everywhere:
        raise click.UsageError("--node and --all: use one of them")
    arguments = dict(map(_argument, words))
    if at or everywhere:
        where = f"{name} at {', '.join(at) or 'every node'}"
        result = ask(lambda client: client.call_nodes(name, at, arguments), timeout, waits=where, left=_GOES_ON)
    else:
        waits = f"{name} at the master"
        result = ask(lambda client: client.call(name, **arguments), timeout, waits=waits, left=_GOES_ON)
    failed = show_result(result, as_json=as_json)
    if failed:
        raise Failure("\n".join(failed), Code.PARTLY_FAILED)


def _argument(pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{pair!r} is not KEY=VALUE; e.g. limit=5", param_hint="KEY=VALUE")
    try:
        return key, parse(value.encode())
    except ValueError:
        return key, value


def show_result(result: Any, *, as_json: bool) -> list[str]:
    """Write an answer; what of it failed, a line for each failure."""
    failed = _failures(result)
    if as_json:
        write_json(result)
    elif isinstance(result, AffectedItemsWazuhResult):
        _show_items(result.affected_items)
        click.echo(printable(f"{result.total_affected_items} in all, {result.total_failed_items} failed"))
    elif failed:
        _show_value({node: one for node, one in result.items() if not isinstance(one, _FAILED)})
    else:
        _show_value(result.result if isinstance(result, WazuhResult) else result)
    return failed


def _failures(result: Any) -> list[str]:
    """What of an answer of several is a failure: items, or nodes."""
    if isinstance(result, AffectedItemsWazuhResult):
        return [f"{failure}: {', '.join(map(str, ids))}" for failure, ids in result.failed]
    if isinstance(result, dict):
        return [f"{node}: {one}" for node, one in result.items() if isinstance(one, _FAILED)]
    return []


def _show_items(items: list[Any]) -> None:
    if items and all(isinstance(item, dict) for item in items):
        names = list(dict.fromkeys(name for item in items for name in item))
        print_rows(tuple(names), [tuple(answer_of(item.get(name, _DASH)) for name in names) for item in items])
    else:
        for item in items:
            click.echo(printable(answer_of(item)))


def _show_value(value: Any) -> None:
    if isinstance(value, dict) and set(value) <= {"items", "totalItems"} and isinstance(value.get("items"), list):
        _show_items(value["items"])
    elif isinstance(value, dict) and value:
        print_rows(("NAME", "VALUE"), [(str(name), answer_of(one)) for name, one in value.items()])
    elif isinstance(value, list):
        _show_items(value)
    else:
        click.echo(printable(answer_of(value)))
