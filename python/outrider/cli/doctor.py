"""``outrider doctor``: everything that is looked at when a node does not do what it should, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from outrider.cli.ask import print_rows
from outrider.cli.options import home_option, load_settings, settings_options, write_json
from outrider.cli.progress import Count, shown
from outrider.doctor import CHECKS, Patient, examine

_MARKS = {"good": "ok", "warning": "!", "bad": "BAD"}


@click.command()
@click.argument("role", type=click.Choice(("worker", "master")), required=False)
@settings_options
@home_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def doctor(
    ctx: click.Context,
    *,
    role: Literal["worker", "master"] | None,
    config: Path | None,
    home: str | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Look for what keeps the node of a home from its work, and say what to do. Exit code 1: something is bad.

    It changes nothing and may run beside the node. ROLE is needed only where no node has run on the home yet.
    """
    settings = load_settings(config, home, pairs)
    begun: list[str] = []
    with shown(f"examining {settings.node.home}", quiet=as_json, count=lambda: _check_of(begun)):
        findings = list(examine(Patient.meet(settings, role), begun.append))
    if as_json:
        write_json(findings)
    else:
        rows = [(_MARKS[one.state], one.check, one.what, one.remedy) for one in findings]
        print_rows(("", "CHECK", "FOUND", "WHAT TO DO"), rows)
    ctx.exit(1 if any(one.state == "bad" for one in findings) else 0)


def _check_of(begun: list[str]) -> Count:
    if not begun:
        return Count(0, len(CHECKS), "asking the node")
    return Count(len(begun) - 1, len(CHECKS), f"check {len(begun)} of {len(CHECKS)}: {begun[-1]}")
