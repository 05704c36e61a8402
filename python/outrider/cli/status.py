"""``outrider status``: the node of this machine, its link, its last rounds, its counters; once or again and again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Group
from rich.live import Live
from rich.text import Text

from outrider.cli.ask import client_options, console_of, table_of
from outrider.cli.durations import Span
from outrider.cli.options import Interrupted, write_json
from outrider.client import LocalClient
from outrider.printable import counted, printable
from outrider.protocol.api import Request
from outrider.status import Certificate, Retrying, Rounds, Snapshot, Standing

_NEVER = "-"
_SOON_DAYS = 30
"""A certificate of a year is renewed when four months are left; one that has less than this had no chance to."""


@click.command()
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--interval", type=Span(0.1, 3600), default=1.0, show_default=True, help="Seconds, with --watch.")
@client_options
def status(*, watch: bool, interval: float, as_json: bool, ask: Callable[..., Any]) -> None:
    """Show how the node of this machine is."""
    if watch:
        with contextlib.suppress(KeyboardInterrupt, Interrupted):  # the way to end it
            _watch(ask, interval, as_json=as_json)
    elif as_json:
        _write(*ask(_look))
    else:
        console_of().print(_shown(*ask(_look)))


def _watch(ask: Callable[..., Any], interval: float, *, as_json: bool) -> None:
    first = ask(_look)
    if as_json:
        _write(*first)
        while True:
            time.sleep(interval)
            _write(*ask(_look))
    with Live(_shown(*first), console=console_of(), auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            # What stands there already shows that it goes on.
            live.update(_shown(*ask(_look, quiet=True)), refresh=True)


def _look(client: LocalClient) -> tuple[dict[str, Any], Snapshot]:
    """Who the node is, and how: both from itself, whatever its master does."""
    who = client.request(Request(call="outrider.node", request_type="local_any"))
    how = client.request(Request(call="outrider.status", request_type="local_any"))
    return msgspec.convert(who, dict[str, Any]), msgspec.convert(how, Snapshot)


def _write(who: dict[str, Any], how: Snapshot) -> None:
    write_json({"node": who, "status": how})


def _shown(who: dict[str, Any], how: Snapshot) -> Group:
    names = ("name", "type", "cluster", "wire_version")
    parts: list[Any] = [Text(printable(" ".join(str(who.get(name, "")) for name in names)))]
    if who.get("type") == "worker":
        parts.append(Text(printable(_link(how))))
    parts.append(Text(printable(_stands(how.standing))))
    parts += [Text(printable(f"{subject}: {note}")) for subject, note in sorted(how.notes.items())]
    if how.certificate is not None:
        parts.append(Text(printable(_certificate(how.certificate, time.time()))))
    rows = [_row(name, kind) for name, kind in sorted(how.kinds.items())]
    parts.append(table_of(("ROUNDS", "GOOD", "FAILED", "LAST", "TOOK", "WHAT"), rows))
    if how.retries:
        tried = [_tried(name, retry) for name, retry in sorted(how.retries.items())]
        parts.append(table_of(("RETRIES", "FAILED", "SINCE", "NEXT", "KIND", "WAITS FOR", "LAST REASON"), tried))
    counted = [*how.counters.items(), *((f"limit hit: {name}", number) for name, number in how.limits_hit.items())]
    if counted:
        parts.append(table_of(("COUNTER", "NUMBER"), [(name, str(number)) for name, number in sorted(counted)]))
    return Group(*parts)


def _link(how: Snapshot) -> str:
    link = how.link
    if link.connected:
        return f"connected to {link.peer} since {_moment(link.since)}, {counted(link.reconnects, 'reconnect')}"
    return f"not connected since {_moment(link.since)}: {link.reason or 'the first connection is being made'}"


def _stands(standing: Standing) -> str:
    where = [f"generation {standing.number}"] if standing.number else []
    where += [counted(standing.files, "file")] if standing.files is not None else []
    state = "in step" if standing.in_step else "not in step"
    told = ", ".join([f"{state} since {_moment(standing.since)}", *where])
    return told if standing.in_step else f"{told}: {standing.reason}"


def _certificate(held: Certificate, now: float) -> str:
    days = (held.until - now) / 86_400
    line = f"certificate of {held.name} until {_moment(held.until)}"
    if days < 0:
        return f"{line}: EXPIRED; `outrider join` gives a worker a new one, `outrider ca issue` a master"
    warning = f"; below {_SOON_DAYS} days it should have been renewed: see the log" if days < _SOON_DAYS else ""
    return f"{line}, {counted(int(days), 'day')} left{warning}"


def _row(name: str, rounds: Rounds) -> tuple[str, ...]:
    counts = str(rounds.succeeded), str(rounds.failed)
    last = rounds.last
    if last is None:
        return name, *counts, _NEVER, _NEVER, _NEVER
    what = ", ".join([*(f"{word} {number:,}" for word, number in last.counts.items()), *filter(None, [last.detail])])
    return name, *counts, _moment(last.started), f"{last.seconds:.3f} s", what or _NEVER


def _tried(name: str, how: Retrying) -> tuple[str, ...]:
    waits = how.awaits or _NEVER
    return name, str(how.failures), _moment(how.since), _moment(how.next_try), how.nature, waits, _reason(how)


def _reason(how: Retrying) -> str:
    return f"{how.reason} [{how.code}]" if how.code else how.reason


def _moment(seconds: float | None) -> str:
    return _NEVER if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
