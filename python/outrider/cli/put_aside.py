"""``outrider agents put-aside``: what no master takes, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from outrider.cli.agent_store import store_options
from outrider.cli.options import load_settings
from outrider.printable import printable
from outrider.store.outbox import PutAside, look


@click.command("put-aside")
@store_options
def put_aside(*, as_json: bool, config: Path | None, home: str | None, pairs: tuple[str, ...]) -> None:
    """List agents whose information no master takes, and why; the last version of each.

    With --json a line for each. An agent that changes is sent again all the same.
    """
    for one in look(load_settings(config, home, pairs).node.home):
        click.echo(_as_line(one) if as_json else _row(one))


def _as_line(one: PutAside) -> str:
    return msgspec.json.encode({"at": one.at, "why": one.why, "agent": msgspec.Raw(one.record)}).decode()


def _row(one: PutAside) -> str:
    agent = msgspec.json.decode(one.record)
    at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return printable(f"{agent['id']:03}  {agent.get('name', '-'):<24}  {at}  {one.why}")
