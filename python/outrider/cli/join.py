"""``outrider join``: a new worker gets its certificate, with a token and one command. Its node may run or not."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path

import click

from outrider.cli.options import Failure, WrongSettings, home_option, load_settings, settings_options
from outrider.cli.progress import shown
from outrider.codes import Code
from outrider.errors import TransportError
from outrider.exchange.joining import join
from outrider.model import endpoint
from outrider.printable import printable
from outrider.protocol.certificates import holder_of, read
from outrider.protocol.joining import Token
from outrider.settings import Settings
from outrider.store.identity import NODE, install
from outrider.world import real_ports


@click.command("join")
@click.argument("token")
@click.option("--master", metavar="HOST[:PORT]", help="The master; by default link.nodes and link.port.")
@settings_options
@home_option
def join_command(
    *, token: str, master: str | None, config: Path | None, home: str | None, pairs: tuple[str, ...]
) -> None:
    """Join the cluster with the TOKEN that `outrider ca token` has written: this home gets its certificate.

    A TOKEN of - is read from standard input, so that it stands in no list of processes.
    """
    settings = load_settings(config, home, pairs)
    try:
        promise = Token.decode(sys.stdin.readline() if token == "-" else token)  # noqa: S105
    except ValueError as error:
        raise WrongSettings(str(error), Code.BAD_TOKEN) from error
    _check(settings, promise)
    host, port = _address(settings, master)
    left = (
        f"{settings.node.home} is as it was; if `outrider ca list` names {promise.name} at the master, its token is "
        "used up: make another one"
    )
    try:
        with shown(f"waiting for the master at {endpoint(host, port)}", left=left):
            joined = asyncio.run(join(promise, host, port, real_ports()))
    except TransportError as error:
        raise Failure(f"cannot join at {endpoint(host, port)}: {error}", error.situation) from error
    install(settings.node.home, joined.key, joined.certificate, joined.trust.text)
    held = holder_of(read(joined.certificate.encode()), "")
    until = datetime.fromtimestamp(held.until, UTC)
    click.echo(printable(f"{held.name} has joined: {settings.node.home / NODE} is good until {until:%Y-%m-%d}"))
    if settings.node.name != held.name:
        click.echo(printable(f'set node.name = "{held.name}": the certificate names it'))


def _check(settings: Settings, token: Token) -> None:
    if "node.home" not in settings.origins:
        raise WrongSettings("node.home: name the home that joins; e.g. --home /var/ossec", Code.HOME)
    if not settings.node.home.is_dir():
        raise WrongSettings(
            f"node.home = {str(settings.node.home)!r}: there is no such folder; make it first", Code.HOME
        )
    if "node.name" in settings.origins and settings.node.name != token.name:
        raise WrongSettings(f"node.name = {settings.node.name!r}: the token is for {token.name}", Code.BAD_TOKEN)


def _address(settings: Settings, master: str | None) -> tuple[str, int]:
    if master is None:
        if not settings.link.nodes:
            raise WrongSettings("--master HOST[:PORT]: where is the master? (or set link.nodes)", Code.SETTING_MISSING)
        return settings.link.nodes[0], settings.link.port
    found = re.fullmatch(r"(?:\[([^\s\]]+)\]|([^\s:]+))(?::(\d{1,5}))?", master)
    if found is not None:
        return found[1] or found[2], int(found[3] or settings.link.port)
    with contextlib.suppress(ValueError):
        return str(IPv6Address(master)), settings.link.port
    raise click.BadParameter(f"{master!r} is no address; e.g. 192.0.2.10:1516", param_hint="--master")
