"""``outrider demo``: a whole cluster on this machine, watched."""

from __future__ import annotations

from pathlib import Path

import click

from outrider.cli.options import Interrupted
from outrider.demo import run


@click.command()
@click.option(
    "--tree",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="PATH",
    help="Folder whose files fill the master's tree.  [default: Python's standard library]",
)
@click.option(
    "--files", type=click.IntRange(min=0), default=0, metavar="N", help="Use at most N files.  [default: all]"
)
@click.option("--json", "as_json", is_flag=True, help="Write the outcome for a program to read.")
@click.pass_context
def demo(ctx: click.Context, tree: Path | None, files: int, as_json: bool) -> None:
    """Watch a master bring two workers in step with a real tree, through changes, kills and restarts."""
    try:
        ctx.exit(run(tree=tree, files=files, as_json=as_json))
    except KeyboardInterrupt:
        raise Interrupted("the demo's nodes have ended, and their folder is removed") from None
