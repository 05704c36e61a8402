"""``outrider plugins list``: what the installed packages bring, and why one was refused. Asks no node."""

from __future__ import annotations

import contextlib
import sys

import click

from outrider.cli.ask import print_rows
from outrider.cli.options import write_json
from outrider.plugins import Found, load_plugins


@click.group()
def plugins() -> None:
    """Calls, kinds of synchronisation and stores that installed packages bring."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_plugins(*, as_json: bool) -> None:
    """List what the packages beside this program bring; a node that starts now would take the same."""
    with contextlib.redirect_stdout(sys.stderr):  # a package that prints when it is imported is no part of the list
        found = load_plugins().found
    if as_json:
        write_json(found)
    elif found:
        print_rows(("PACKAGE", "VERSION", "GROUP", "NAME", "BRINGS"), [_row(one) for one in found])
    else:
        click.echo("No installed package brings anything.")


def _row(one: Found) -> tuple[str, ...]:
    brings = f"refused: {one.refused}" if one.refused else ", ".join(one.brings)
    return one.package or "-", one.version or "-", one.group, one.name, brings
