"""The node's certificate, whom it trusts, and the cluster's authority where it holds that: as the files stand.

It opens no link: what the other end thinks of the certificate, :mod:`outrider.doctor.reach` finds out.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.errors import StoreError
from outrider.exchange.credentials import authority_of
from outrider.printable import counted
from outrider.protocol.certificates import LEFT, Holder, Trust
from outrider.store.authority import KEY, NODE_DAYS, Authority
from outrider.store.authority import TRUST as PUBLISHED
from outrider.store.credentials import CredentialFiles, Shown
from outrider.store.identity import NODE, TRUST
from outrider.store.ledger import FILE as LEDGER
from outrider.store.ledger import Issued, Ledger
from outrider.world import real_ports

_CHECK = "certificates"
_DAY_S = 86_400.0
_SECRET, _READABLE = stat.S_IRWXG | stat.S_IRWXO, stat.S_IWGRP | stat.S_IWOTH
"""What must not be allowed of a file with a key in it, and of one that others may read."""


def look(patient: Patient) -> Iterator[Finding]:
    """The certificate, who is trusted, modes of files; at the master that holds it the authority and its ledger."""
    if patient.settings.link.require == "base":
        return  # it shows none to anybody
    yield from _modes(patient)
    try:
        yield from _own(patient, shown(patient))
        authority = _authority(patient)
        if authority.exists:
            yield from _held(authority, time.time())
    except StoreError as error:
        yield Finding.bad(_CHECK, str(error), "run it as the user of the node, or restore the file from a copy")


def shown(patient: Patient) -> Shown | None:
    """What the node's files say; ``None`` before its first start, which makes them.

    :class:`StoreError` if they cannot be read.
    """
    home = patient.settings.node.home
    if not (home / NODE).exists():
        return None
    files = CredentialFiles(home, _authority(patient).folder, b"")
    files.read()
    return files.shown


def _authority(patient: Patient) -> Authority:
    return authority_of(patient.settings, real_ports(), patient.settings.node.home)


def _remedy(role: str, name: str) -> str:
    """How a node gets a certificate where its own is of no use."""
    if role == "master":
        return f"where the authority is: outrider ca issue {name} --role master (`outrider ca init` if there is none)"
    return f"at the master: outrider ca token {name}; then here: outrider join TOKEN"


def _own(patient: Patient, found: Shown | None) -> Iterator[Finding]:
    settings = patient.settings
    role = patient.role or "worker"
    remedy = _remedy(role, settings.node.name)
    if found is None or found.trust is None or found.holder is None:
        yield _without(settings.link.tls, found, remedy)
        return
    held = found.holder
    if held.name != settings.node.name or (patient.role is not None and held.role != patient.role):
        what = f"it is of the {held.role} {held.name}, and this node is the {role} {settings.node.name}"
        yield Finding.bad(_CHECK, what, f"set node.name = {held.name!r}, or get one of its own: {remedy}")
    try:
        found.trust.judge(found.identity.certificate.encode(), held.role, time.time())
    except ValueError as error:
        yield Finding.bad(_CHECK, f"of this node: {error}", f"compare the clock; {remedy}")
    else:
        yield _lasting(held, found.trust, time.time())
    yield from _lasting_authority(found.trust, time.time())


def _without(tls: str, found: Shown | None, remedy: str) -> Finding:
    """A node whose certificate is of no authority, or that has none yet."""
    if tls == "required":
        return Finding.bad(_CHECK, "link.tls = required, and this node has no certificate of an authority", remedy)
    if found is None:
        return Finding.good(_CHECK, "none yet: the node makes one at its first start")
    if found.trust is None:
        return Finding.good(_CHECK, "its own, which the cluster key vouches for; it knows no authority")
    what = "its certificate is of no authority that it trusts, or it never got one"
    if tls == "ca":
        return Finding.bad(_CHECK, f"{what}: peers that trust one refuse it", remedy)
    return Finding.warning(_CHECK, f"{what}: peers take it by the cluster key, if link.tls is any there", remedy)


def _lasting(held: Holder, trust: Trust, now: float) -> Finding:
    """A certificate that is good: how long."""
    left = counted(round((held.until - now) / _DAY_S), "day")
    what = f"of the {held.role} {held.name}, good until {_day(held.until)} ({left})"
    if held.until - now < LEFT * (held.until - held.since):
        return Finding.warning(
            _CHECK,
            f"{what}: the next one was due when a third of its time was left, and has not come",
            "start the node; it asks its master over an extended link, and that one must hold the authority",
        )
    if held.role == "worker" and held.authority != trust.fingerprint:
        return Finding.warning(
            _CHECK, f"{what}, of the authority that is being replaced", "start the node: it gets the next one at once"
        )
    return Finding.good(_CHECK, what)


def _lasting_authority(trust: Trust, now: float) -> Iterator[Finding]:
    until = trust.authorities[0].not_valid_after_utc.timestamp()
    if until - now < NODE_DAYS * _DAY_S:
        what = f"the authority {trust.fingerprint[:16]} itself is good until {_day(until)}, and no certificate longer"
        finding = Finding.bad if until <= now else Finding.warning
        yield finding(_CHECK, what, "at the master: outrider ca rotate")


# where the authority is


def _held(authority: Authority, now: float) -> Iterator[Finding]:
    authority.check_keys()
    ledger, trust = authority.ledger(), authority.trust()
    found = [*_unlisted(ledger, trust), *_leaving(ledger, trust, now)]
    good = [one for one in ledger.issued if one.good(now)]
    revoked = sum(one.revoked is not None for one in ledger.issued)
    yield from found or [
        Finding.good(
            _CHECK, f"this node holds the authority {trust.fingerprint[:16]}: {len(good)} good, {revoked} revoked"
        )
    ]


def _unlisted(ledger: Ledger, trust: Trust) -> Iterator[Finding]:
    """Revoked, and nobody is told: what a crash between two files leaves."""
    for one in ledger.issued:
        if one.revoked is not None and one.authority in trust.fingerprints and not trust.lists(one.serial):
            what = f"{one.serial} of {one.name} is revoked in the ledger, and not in the list that nodes read"
            yield Finding.bad(_CHECK, what, f"outrider ca revoke {one.serial}")


def _leaving(ledger: Ledger, trust: Trust, now: float) -> Iterator[Finding]:
    """Nodes whose newest certificate soon is of no use: they are away, or cannot renew it."""
    newest = {one.name: one for one in ledger.issued if one.good(now)}
    for one in newest.values():
        if why := _ends(one, ledger, trust, now):
            remedy = f"let it connect before, or give it a token afterwards: outrider ca token {one.name}"
            yield Finding.warning(_CHECK, f"the {one.role} {one.name}: {why}", remedy)


def _ends(one: Issued, ledger: Ledger, trust: Trust, now: float) -> str:
    if one.until - now < LEFT / 2 * (one.until - one.since):
        return f"its certificate is good until {_day(one.until)}, and it has not asked for the next one"
    if one.role == "worker" and one.authority != trust.fingerprint and ledger.drop_at is not None:
        return f"its certificate is of the old authority, which goes at {_day(ledger.drop_at)}"
    return ""


# modes


def _modes(patient: Patient) -> Iterator[Finding]:
    home, folder = patient.settings.node.home, _authority(patient).folder
    passphrase = patient.settings.ca.passphrase_file
    secrets = [home / NODE, folder / KEY, *([] if passphrase is None else [passphrase])]
    for file, forbidden, who in (
        *((file, _SECRET, "others may open it, and there is a key in it") for file in secrets),
        *((home / file, _READABLE, "others may write it, and so say whom this node trusts") for file in (TRUST,)),
        *((folder / file, _READABLE, "others may write what the authority says") for file in (PUBLISHED, LEDGER)),
    ):
        if (mode := _mode(file)) & forbidden:
            remedy = f"chmod {mode & ~forbidden:o} {file}; if others are on this machine, get a new one after that"
            yield Finding.bad(_CHECK, f"{file} has mode {mode:o}: {who}", remedy)


def _mode(file: Path) -> int:
    """0 where there is none."""
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%MZ}"
