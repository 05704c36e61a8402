"""``outrider peer``: whom this home remembers as a peer that speaks the extended protocol. The node may run or not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from outrider.cli.ask import print_rows
from outrider.cli.options import Failure, home_option, load_settings, settings_options, write_json
from outrider.codes import Code
from outrider.printable import printable
from outrider.store.peers import Peer, Peers


@click.group()
def peer() -> None:
    """Peers that have been seen to speak the extended protocol, and must go on to."""


@peer.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a program.")
@settings_options
@home_option
def list_peers(*, as_json: bool, config: Path | None, home: str | None, pairs: tuple[str, ...]) -> None:
    """List the peers that this home remembers."""
    found = _peers(config, home, pairs).all()
    if as_json:
        write_json(found)
    else:
        print_rows(("NAME", "TYPE", "ADDRESS", "VERSION", "SINCE", "CERTIFICATE"), [_row(one) for one in found])


@peer.command()
@click.argument("name")
@settings_options
@home_option
def forget(*, name: str, config: Path | None, home: str | None, pairs: tuple[str, ...]) -> None:
    """Forget the peer NAME (or its address): it may be an old one from now on."""
    peers = _peers(config, home, pairs)
    gone = peers.forget(name)
    if not gone:
        raise Failure(f"no peer {name!r} is remembered; `outrider peer list` shows who is", Code.NO_SUCH_PEER)
    for one in gone:
        click.echo(printable(f"forgot the {one.type} {one.name} at {one.address}"))


def _peers(config: Path | None, home: str | None, pairs: tuple[str, ...]) -> Peers:
    return Peers(load_settings(config, home, pairs).node.home)


def _row(one: Peer) -> tuple[str, ...]:
    since = datetime.fromtimestamp(one.since, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return one.name, one.type, one.address, one.version, since, one.certificate[:16]
