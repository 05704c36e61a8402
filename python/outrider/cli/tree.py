"""``outrider scan``, ``diff`` and ``verify``: trees looked at by the files table, without a cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from outrider._native import Scan
from outrider._native import diff as compare
from outrider.cli.options import Failure, load_settings, settings_options, write_json
from outrider.cli.progress import scanned
from outrider.codes import Code
from outrider.printable import counted, printable
from outrider.settings import Settings
from outrider.store.tree import files_table, open_tree
from outrider.store.verifying import Verified
from outrider.store.verifying import verify as verify_tree

PROBLEMS_SHOWN = 20


@click.command()
@click.argument("home", metavar="[HOME]", required=False)
@settings_options
@click.option("--rehash", is_flag=True, help="Read every file again, whatever the index says.")
@click.option("--json", "as_json", is_flag=True, help="Write the outcome for a program to read.")
def scan(
    *,
    config: Path | None,
    home: str | None,
    pairs: tuple[str, ...],
    rehash: bool,
    as_json: bool,
) -> None:
    """Look at the files of HOME that the files table names: how many, their root, what was left out.

    An index in HOME/.outrider spares the next scan the reading.
    """
    settings = load_settings(config, home, pairs)
    began = time.perf_counter()
    found = look(settings, rehash=rehash, quiet=as_json)
    seconds = time.perf_counter() - began
    if as_json:
        write_json({"home": str(settings.node.home), "seconds": seconds, **_described(settings, found)})
    else:
        _write_summary(settings, found, seconds)


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Write the plan for a program to read.")
@click.pass_context
def diff(
    ctx: click.Context,
    *,
    first: str,
    second: str,
    config: Path | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what must change in home B so that it equals home A. Exit code 0: nothing, 1: something."""
    scans = []
    for argument in (first, second):
        settings = load_settings(config, argument, pairs)
        found = look(settings, quiet=as_json)
        _write_problems(settings, found.problems)
        scans.append(found)
    unseen = [path for path, _ in scans[0].problems]
    plan = compare(scans[0].manifest, scans[1].manifest, files_table(settings), unseen=unseen)
    if as_json:
        write_json(msgspec.Raw(plan.to_json().encode()))
    elif plan:
        click.echo(str(plan))
    else:
        click.echo(f"Equal: {counted(len(scans[0].manifest), 'file')}.")
    ctx.exit(1 if plan else 0)


@click.command()
@click.argument("home", metavar="[HOME]", required=False)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Write the outcome for a program to read.")
@click.pass_context
def verify(ctx: click.Context, *, home: str | None, config: Path | None, pairs: tuple[str, ...], as_json: bool) -> None:
    """Read every file of HOME and say what differs from its last generation. Exit code 0: nothing, 1: something.

    It may run beside the node and changes nothing.
    """
    settings = load_settings(config, home, pairs)
    _check_home(settings)
    verified = scanned(f"reading {settings.node.home}", partial(verify_tree, settings), quiet=as_json)
    if as_json:
        write_json(verified)
    else:
        _write_verified(settings, verified)
    ctx.exit(0 if verified.same else 1)


def look(settings: Settings, *, rehash: bool = False, quiet: bool = False) -> Scan:
    """Scan the home of ``settings``, with progress on a terminal."""
    _check_home(settings)
    tree = open_tree(settings)
    text = f"looking at {settings.node.home}"
    return scanned(text, lambda progress: tree.scan(rehash=rehash, progress=progress), quiet=quiet)


def _check_home(settings: Settings) -> None:
    if not settings.node.home.is_dir():
        raise Failure(
            f"{settings.node.home} is no folder: name the home of a node, e.g. outrider scan /var/ossec", Code.NO_FOLDER
        )


def _described(settings: Settings, found: Scan) -> dict[str, Any]:
    folders = Counter(entry.rule for entry in found.manifest.entries())
    return {
        "root": found.manifest.root,
        "files": len(found.manifest),
        "folders": {row.folder: folders[row.folder] for row in settings.tree.files},
        "hashed": found.hashed,
        "bytes_hashed": found.bytes_hashed,
        "problems": [{"path": path, "reason": reason} for path, reason in found.problems],
    }


def _write_summary(settings: Settings, found: Scan, seconds: float) -> None:
    described = _described(settings, found)
    width = max((len(row.folder) for row in settings.tree.files), default=0)
    for folder, files in described["folders"].items():
        click.echo(f"{folder:<{width}}  {files:>9,}")
    read = f"{found.hashed:,} of them read ({counted(found.bytes_hashed, 'byte')})"
    click.echo(f"{counted(described['files'], 'file')}, {read} in {seconds:.3f} s")
    click.echo(f"root {found.manifest.root}")
    if not described["files"]:
        click.echo(f"{settings.node.home} has no file that the files table names; set tree.files to its folders.")
    _write_problems(settings, found.problems)


def _write_verified(settings: Settings, verified: Verified) -> None:
    for sign, paths in (("+", verified.added), ("~", verified.changed), ("-", verified.deleted)):
        for path in paths:
            click.echo(printable(f"{sign} {path}"))
    counts = f"{len(verified.added):,} added, {len(verified.changed):,} changed, {len(verified.deleted):,} deleted"
    says = f"the same {counted(verified.files, 'file')} as in" if verified.same else f"{counts} since"
    click.echo(f"{says} generation {verified.generation}, root {verified.root[:16]}...")
    if not verified.exact:
        click.echo(
            "What was changed before the node looked last is not listed: of that generation only the root is known "
            "here. The next round brings this node in step."
        )
    _write_problems(settings, verified.left_out)


def _write_problems(settings: Settings, problems: Sequence[tuple[str, str]]) -> None:
    """Name what was left out; the first few, so that a broken tree does not scroll its summary away."""
    for path, reason in problems[:PROBLEMS_SHOWN]:
        click.echo(f"outrider: warning: {printable(f'{settings.node.home / path} was left out: {reason}')}", err=True)
    if (more := len(problems) - PROBLEMS_SHOWN) > 0:
        click.echo(f"outrider: warning: {more:,} more left out; `outrider scan --json` lists all", err=True)
