"""Runs the benches and prints a table of ratios: ``python -m benches [--short] [NAME...]``."""

from __future__ import annotations

import importlib
import json

import click
from rich.console import Console
from rich.table import Table

from benches.rows import Row

_BENCHES = (
    "scan",
    "container",
    "apply",
    "transport",
    "link",
    "idle",
    "sync",
    "generations",
    "deltas",
    "fan_out",
    "extremes",
    "agents",
    "agents_sync",
    "groups_sync",
    "requests",
    "memory",
)


@click.command()
@click.option("--short", is_flag=True, help="Small inputs, few runs: a minute or two in all.")
@click.option("--json", "as_json", is_flag=True, help="Rows for a program.")
@click.argument("names", nargs=-1, type=click.Choice(_BENCHES))
def main(*, short: bool, as_json: bool, names: tuple[str, ...]) -> None:
    """Measure what is claimed; a slow machine makes no failure, only the ratios count."""
    rows: list[Row] = []
    console = Console(stderr=as_json)
    for name in names or _BENCHES:
        found: list[Row] = importlib.import_module(f"benches.{name}").run(short=short)
        rows += found
        console.print(_table(name, found))
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows]))


def _table(name: str, rows: list[Row]) -> Table:
    table = Table(title=name, title_justify="left")
    for title in ("work", "ours", "peer", "its time", "ratio", "wanted"):
        table.add_column(title, justify="right" if title in {"ours", "its time", "ratio"} else "left")
    for row in rows:
        # A short run may be too short to cost anything that can be measured.
        ratio = f"{row.peer_s / row.ours_s:.2f}x" if row.ours_s > 0 else "-"
        ours, its = (_figure(value, row.unit) for value in (row.ours_s, row.peer_s))
        table.add_row(row.name, ours, row.peer, its, ratio, row.target)
    return table


def _figure(value: float, unit: str) -> str:
    return _time(value) if unit == "s" else f"{value:,.1f} {unit}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


if __name__ == "__main__":
    main()
