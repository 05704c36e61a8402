"""``outrider agents``: what the embedded store knows of agents, looked at and edited."""

from __future__ import annotations

import sys
from typing import IO, Any, get_args

import click
import msgspec

from outrider.cli.agent_lines import Import, as_line, checked
from outrider.cli.agent_store import IN_PARTS, store_options, with_store
from outrider.cli.options import Failure, write_json
from outrider.cli.progress import Count
from outrider.cli.put_aside import put_aside
from outrider.codes import Code
from outrider.model import AgentInfo, GroupAssignment, GroupMode
from outrider.printable import counted, printable
from outrider.protocol.agents import encode_agent
from outrider.store.sqlite import SqliteStore
from outrider.store.sqlite.listing import KnownAgent

AGENT_ID = click.IntRange(1, 2**31 - 1)


@click.group()
def agents() -> None:
    """Show and edit the agents of the embedded store; a node may run meanwhile."""


agents.add_command(put_aside)


@agents.command("list")
@store_options
def list_agents(*, as_json: bool, **place: Any) -> None:
    """List every agent by its id; with --json a line for each, as `import` reads it."""
    listed = 0

    async def work(store: SqliteStore) -> None:
        nonlocal listed
        after, more = 0, True
        while more:
            found, more = await store.agents(after)
            for agent in found:
                click.echo(as_line(agent) if as_json else _row(agent))
                after = agent.id
            listed += len(found)

    # On a terminal the lines themselves are what is seen of it.
    quiet = as_json or sys.stdout.isatty()
    with_store(work, doing="listing", quiet=quiet, count=lambda: Count(listed, None, counted(listed, "agent")), **place)


@agents.command()
@click.argument("number", metavar="ID", type=AGENT_ID)
@store_options
def show(*, number: int, as_json: bool, **place: Any) -> None:
    """Show everything that is known of one agent."""
    agent = with_store(lambda store: _known(store, number), doing="looking it up", quiet=as_json, **place)
    shown = _described(agent)
    if as_json:
        write_json(shown)
        return
    shown |= {f"info.{column}": value for column, value in (shown.pop("info") or {}).items()}
    width = max(map(len, shown))
    for name, value in shown.items():
        text = "-" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
        click.echo(f"{name:<{width}}  {printable(text)}")


@agents.command()
@click.argument("number", metavar="ID", type=AGENT_ID)
@click.argument("name")
@click.option("--ip", help="The agent's address.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of the agent; may be repeated.")
@store_options
def add(*, number: int, name: str, ip: str | None, groups: tuple[str, ...], as_json: bool, **place: Any) -> None:
    """Add the agent ID, called NAME."""

    async def work(store: SqliteStore) -> None:
        assignment = _assignment(number, groups)
        known = await store.agent(number)
        if known and known.info:
            raise Failure(f"there is an agent {number} already: {printable(known.info.name)}", Code.AGENT_EXISTS)
        await store.put([AgentInfo(id=number, name=name, ip=ip, connection_status="never_connected")])
        if groups:
            await store.set_groups([assignment], status="syncreq")

    doing = f"adding agent {number}"
    with_store(work, doing=doing, make=True, send=bool(groups), quiet=as_json, left=IN_PARTS, **place)
    _tell({"added": number}, f"Added agent {number}.", as_json=as_json)


@agents.command()
@click.argument("numbers", metavar="ID...", type=AGENT_ID, nargs=-1, required=True)
@store_options
def remove(*, numbers: tuple[int, ...], as_json: bool, **place: Any) -> None:
    """Remove agents with everything that is known of them, on this node."""

    async def work(store: SqliteStore) -> int:
        for number in numbers:
            await _known(store, number)
        return await store.remove(numbers)

    doing = f"removing {counted(len(numbers), 'agent')}"
    removed = with_store(work, doing=doing, quiet=as_json, left=IN_PARTS, **place)
    _tell({"removed": removed}, f"Removed {counted(removed, 'agent')}.", as_json=as_json)


@agents.command("set-groups")
@click.argument("number", metavar="ID", type=AGENT_ID)
@click.argument("groups", metavar="[GROUP]...", nargs=-1)
@click.option(
    "--mode",
    type=click.Choice(get_args(GroupMode)),
    default="override",
    show_default=True,
    help="How the groups meet those that the agent has.",
)
@store_options
def set_groups(*, number: int, groups: tuple[str, ...], mode: GroupMode, as_json: bool, **place: Any) -> None:
    """Give the agent ID these groups, the first with the highest priority; a master sends them to the workers."""

    async def work(store: SqliteStore) -> tuple[str, ...]:
        await _known(store, number)
        await store.set_groups([_assignment(number, groups)], mode, "syncreq")
        return (await _known(store, number)).groups

    doing = f"setting the groups of agent {number}"
    now = with_store(work, doing=doing, send=True, quiet=as_json, left=IN_PARTS, **place)
    _tell({"id": number, "groups": now}, f"Agent {number}: {', '.join(now) or 'no group'}", as_json=as_json)


@agents.command("import")
@click.argument("file", type=click.File("rb"))
@store_options
def import_agents(*, file: IO[bytes], as_json: bool, **place: Any) -> None:
    """Add or replace agents from FILE (- for standard input): a JSON object a line, its columns and its groups.

    A line that is wrong ends the import; the lines before it stand, and importing them again changes nothing.
    """
    lines = Import(file)
    imported = with_store(
        lines.into,
        doing="importing",
        make=True,
        send=True,
        quiet=as_json,
        count=lines.count,
        left=lines.left,
        **place,
    )
    _tell({"imported": imported}, f"Imported {counted(imported, 'agent')}.", as_json=as_json)


def _assignment(number: int, groups: tuple[str, ...]) -> GroupAssignment:
    try:
        return GroupAssignment(number, checked(groups))
    except ValueError as error:
        raise Failure(f"agent {number}: {error}", Code.RECORDS_REFUSED) from error


async def _known(store: SqliteStore, number: int) -> KnownAgent:
    agent = await store.agent(number)
    if agent is None:
        raise Failure(f"agent {number} is unknown: outrider agents list names those that there are", Code.NO_SUCH_AGENT)
    return agent


def _described(agent: KnownAgent) -> dict[str, Any]:
    info = None if agent.info is None else msgspec.json.decode(encode_agent(agent.info))
    return {**agent._asdict(), "info": info}


def _row(agent: KnownAgent) -> str:
    name, status, ip = "-", "-", agent.ip
    if agent.info:
        name, status, ip = agent.info.name, agent.info.connection_status, agent.info.ip or ip
    return printable(f"{agent.id:03}  {name:<24}  {status:<15}  {ip or '-':<15}  {','.join(agent.groups) or '-'}")


def _tell(outcome: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        write_json(outcome)
    else:
        click.echo(text)
