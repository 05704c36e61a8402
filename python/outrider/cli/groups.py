"""``outrider groups``: the groups of the embedded store, looked at and edited."""

from __future__ import annotations

from typing import Any

import click

from outrider.cli.agent_store import IN_PARTS, store_options, with_store
from outrider.cli.options import Failure, write_json
from outrider.codes import Code
from outrider.store.sqlite import SqliteStore


@click.group()
def groups() -> None:
    """Show and edit the groups of the embedded store; a node may run meanwhile."""


@groups.command("list")
@store_options
def list_groups(*, as_json: bool, **place: Any) -> None:
    """List every group and how many agents it has."""
    found = with_store(lambda store: store.all_groups(), doing="counting agents", quiet=as_json, **place)
    if as_json:
        write_json([group._asdict() for group in found])
        return
    width = max((len(group.name) for group in found), default=0)
    for group in found:
        click.echo(f"{group.name:<{width}}  {group.agents:>9,}")


@groups.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@store_options
def add(*, names: tuple[str, ...], as_json: bool, **place: Any) -> None:
    """Make groups; those that there are stay."""
    with_store(
        lambda store: store.add_groups(names), doing="adding groups", make=True, quiet=as_json, left=IN_PARTS, **place
    )
    if as_json:
        write_json({"added": names})
    else:
        click.echo(f"There is {', '.join(names)} now.")


@groups.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@store_options
def remove(*, names: tuple[str, ...], as_json: bool, **place: Any) -> None:
    """Remove groups and take them from every agent; who had no other falls back to default."""

    async def work(store: SqliteStore) -> list[str]:
        return [name for name in names if not await store.remove_group(name)]

    unknown = with_store(work, doing="removing groups", send=True, quiet=as_json, left=IN_PARTS, **place)
    removed = [name for name in names if name not in unknown]
    if as_json:
        write_json({"removed": removed, "unknown": unknown})
    elif removed:
        click.echo(f"Removed {', '.join(removed)}.")
    if unknown:
        raise Failure(
            f"there is no group {', '.join(unknown)}: outrider groups list names those that there are",
            Code.NO_SUCH_GROUP,
        )
