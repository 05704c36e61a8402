"""``outrider ca``: the cluster's certificate authority. The master that holds it may run: it notices within seconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.cli.ask import print_rows
from outrider.cli.durations import Span, duration
from outrider.cli.options import Failure, home_option, load_settings, settings_options, write_json
from outrider.codes import Code
from outrider.errors import Refusal
from outrider.exchange.credentials import authority_of
from outrider.ports import Ports
from outrider.printable import counted, printable
from outrider.protocol.bodies import check_node_name
from outrider.protocol.certificates import NodeRole
from outrider.settings import Settings
from outrider.store.authority import AUTHORITY_DAYS, KEY, NODE_DAYS, Authority
from outrider.store.identity import NODE, TRUST, install
from outrider.store.ledger import Issued
from outrider.store.private_keys import private_pem
from outrider.store.whole import make_folder, write_whole
from outrider.world import real_ports

_DAYS = Span(min=0, min_open=True, max=36_500)
_LONGEST_TOKEN_S = 30 * 86_400.0


class _At(NamedTuple):
    """Where a command works."""

    settings: Settings
    ports: Ports
    authority: Authority

    @property
    def now(self) -> float:
        return self.ports.wall()

    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.ports.random.randbytes(32))


def _authority_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that find the authority; ``at`` is where it is."""

    @click.option("--folder", metavar="DIR", help="The authority's folder; the same as --set ca.folder=DIR.")
    @click.option("--passphrase-file", metavar="FILE", help="The same as --set ca.passphrase_file=FILE.")
    @settings_options
    @home_option
    def wrapped(
        *,
        config: Path | None,
        home: str | None,
        pairs: tuple[str, ...],
        folder: str | None,
        passphrase_file: str | None,
        **rest: Any,
    ) -> Any:
        settings = load_settings(config, home, pairs, ca__folder=folder, ca__passphrase_file=passphrase_file)
        ports = real_ports()
        return command(at=_At(settings, ports, authority_of(settings, ports, settings.node.home)), **rest)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = [*wrapped.__click_params__, *getattr(command, "__click_params__", [])]  # type: ignore[attr-defined]
    return wrapped


@click.group()
def ca() -> None:
    """The cluster's certificate authority: make it, let nodes in, cut them off, replace it."""


@ca.command()
@_authority_options
@click.option("--days", type=_DAYS, default=AUTHORITY_DAYS, show_default=True, help="How long the authority is good.")
def init(*, at: _At, days: float) -> None:
    """Make the authority, and with --home the certificate of the master there.

    Its key is a file of mode 600, encrypted if ca.passphrase_file (--passphrase-file) is set. Keep a copy of the folder
    at another place.
    """
    node = at.settings.node
    trust = at.authority.create(node.cluster, at.now, days)
    click.echo(printable(f"made the authority of {node.cluster} in {at.authority.folder}; its SHA-256 is"))
    click.echo(trust.fingerprint)
    click.echo(printable(f"its key is {at.authority.folder / KEY}: keep a copy of the folder at another place"))
    if "node.home" in at.settings.origins:
        key = at.key()
        certificate = at.authority.issue(key.public_key(), node.name, "master", at.now)
        install(node.home, key, certificate)
        click.echo(printable(f"{node.name} has its certificate as the master, {node.home / NODE}"))
        click.echo("next, for each worker: outrider ca token WORKER")


@ca.command()
@click.argument("name")
@_authority_options
@click.option("--role", type=click.Choice(["worker", "master"]), default="worker", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write here; by default into the folder NAME.")
@click.option("--days", type=_DAYS, default=NODE_DAYS, show_default=True, help="How long the certificate is good.")
def issue(*, name: str, at: _At, role: NodeRole, out: Path | None, days: float) -> None:
    """Make a certificate for the node NAME, and its key, for a machine that cannot reach the master.

    Move both files to .outrider/identity of its home; `outrider ca token` needs no key to travel.
    """
    _check(name)
    folder = out or Path(name)
    key = at.key()
    certificate = at.authority.issue(key.public_key(), name, role, at.now, days)
    make_folder(folder, 0o700)
    write_whole(folder / TRUST.name, at.authority.trust().text.encode(), 0o644)
    write_whole(folder / NODE.name, private_pem(key) + certificate.encode(), 0o600)
    click.echo(printable(f"move {folder / NODE.name} and {folder / TRUST.name} to {NODE.parent} of the home of {name}"))


@ca.command()
@click.argument("name")
@_authority_options
@click.option(
    "--ttl", type=duration, default="1h", show_default=True, help="How long it may be used, e.g. 30m, 1h, 2d."
)
def token(*, name: str, at: _At, ttl: float) -> None:
    """Write a token with which the node NAME may join, once. Whoever has it can be NAME: do not send it in clear."""
    _check(name)
    if ttl > _LONGEST_TOKEN_S:
        raise click.BadParameter("a token is good for 30d at most: make it when it is needed", param_hint="'--ttl'")
    click.echo(at.authority.token(name, ttl, at.now).encode())


@ca.command()
@click.argument("name_or_serial")
@_authority_options
def revoke(*, name_or_serial: str, at: _At) -> None:
    """Cut off a node, by its name or its certificate's serial number; its links end within 5 s.

    By the name, its tokens are good no more either.
    """
    tokens = sum(one.name == name_or_serial and one.good(at.now) for one in at.authority.ledger().tokens)
    gone = at.authority.revoke(name_or_serial, at.now)
    if tokens:
        click.echo(printable(f"good no more for {name_or_serial}: {counted(tokens, 'token')}"))
    elif not gone:
        raise Failure(
            f"{name_or_serial!r} has no certificate that is good; `outrider ca list` shows who has",
            Code.NOTHING_TO_REVOKE,
        )
    for one in gone:
        click.echo(printable(f"revoked {one.serial} of the {one.role} {one.name}"))


@ca.command()
@_authority_options
@click.option("--window", type=duration, default="7d", show_default=True, help="How long the old one is good, too.")
@click.option("--finish", is_flag=True, help="End the window of a replacement that was begun.")
@click.option("--days", type=_DAYS, default=AUTHORITY_DAYS, show_default=True, help="How long the new one is good.")
def rotate(*, at: _At, window: float, finish: bool, days: float) -> None:
    """Replace the authority: a new one beside the old one, which goes after the window.

    Connected workers hear of it and get new certificates at once. A worker that is away during the whole window joins
    again, with a token.
    """
    if finish:
        if not at.authority.hasten(at.now):
            raise Failure("no authority is being replaced", Code.AUTHORITY_STATE)
        click.echo("the master drops the old authority within seconds, or at its next start")
        return
    until = at.authority.rotate(at.settings.node.cluster, at.now, window, days)
    click.echo("a new authority signs now; its SHA-256 is")
    click.echo(at.authority.trust().fingerprint)
    click.echo(f"the old one goes at {_moment(until)}; `outrider ca list` shows whose certificate is still of it")


@ca.command("list")
@_authority_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_issued(*, at: _At, as_json: bool) -> None:
    """List the certificates that the authority has signed."""
    ledger, signing = at.authority.ledger(), at.authority.trust().fingerprint
    if as_json:
        write_json({"authority": signing, "drop_at": ledger.drop_at, "issued": ledger.issued})
        return
    rows = [(one.name, one.role, _state(one, signing, at.now), _moment(one.until), one.serial) for one in ledger.issued]
    print_rows(("NAME", "ROLE", "STATE", "UNTIL", "SERIAL"), rows)


def _state(one: Issued, signing: str, now: float) -> str:
    if one.revoked is not None:
        return "revoked"
    if one.until <= now:
        return "expired"
    return "good" if one.authority == signing else "of the old authority"


def _check(name: str) -> None:
    try:
        check_node_name(name)
    except Refusal as error:
        raise click.BadParameter(error.detail or str(error), param_hint="NAME") from error


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
