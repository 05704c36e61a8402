"""``outrider explain``: what the code behind an error means, and what to do."""

from __future__ import annotations

import click

from outrider.cli.ask import print_rows
from outrider.cli.options import Failure, write_json
from outrider.codes import Code
from outrider.explained import EXPLANATIONS, FAMILIES, explanation
from outrider.explained.page import page
from outrider.printable import printable


@click.command()
@click.argument("code", required=False)
@click.option("--markdown", is_flag=True, help="All of it as a page: docs/errors.md.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(*, code: str | None, markdown: bool, as_json: bool) -> None:
    """Say what the CODE behind an error means: its cause, what the node does meanwhile, the remedy.

    CODE is such as OUT-1203, or a number that nodes tell one another, such as 3022. Without one all are listed.
    """
    if code is not None:
        _explain(code, as_json=as_json)
    elif markdown:
        click.echo(page(), nl=False)
    elif as_json:
        write_json(list(EXPLANATIONS.values()))
    else:
        rows = [(one.code, one.title, family) for family, members in FAMILIES.items() for one in members]
        print_rows(("CODE", "WHAT IT IS", "FAMILY"), rows)


def _explain(code: str, *, as_json: bool) -> None:
    found = explanation(code)
    if found is None:
        raise Failure(f"{printable(code[:40])!r} is no code; `outrider explain` lists all", Code.NO_SUCH_CODE)
    if as_json:
        write_json(found)
        return
    click.echo(f"{found.code}: {found.title}\n")
    for name, text in (
        ("cause", found.cause),
        ("meanwhile", found.meanwhile),
        ("remedy", found.remedy),
        ("seen as", found.example),
    ):
        click.echo(f"{name:<10} {text}")
