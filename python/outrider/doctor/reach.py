"""The way to the master: one ``echo`` says whether it answers, and whether it takes this node.

Under the cluster key it also says whether the clocks agree; inside TLS from the first byte nothing carries a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from outrider.doctor.asking import ask_inside, ask_sealed
from outrider.doctor.certificates import shown
from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.errors import OutriderError, StoreError, TransportError
from outrider.model import endpoint
from outrider.ports import Authorities
from outrider.protocol.seal import AGE_SETTING
from outrider.settings import Settings
from outrider.transport.tls import REFUSALS
from outrider.world import real_ports

_ALLOWED_SKEW_S = 5.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_KEY = (
    "do the cluster keys differ? Compare `outrider key status` of both, or the files of link.key_file. "
    "Or does the master demand TLS (link.tls = required)?"
)
_CERTIFICATE = (
    "see the check of the certificates, here and at the master; the master's log says whom it refuses, and why"
)


def port(patient: Patient) -> Iterator[Finding]:
    """Whether a master that does not run could listen."""
    if patient.role != "master" or patient.status is not None:
        return
    link = patient.settings.link
    where = endpoint(link.bind_addr, link.port)

    async def listen() -> None:
        door = await real_ports().network.listen(link.bind_addr, link.port, asyncio.Protocol)
        door.close()

    try:
        asyncio.run(listen())
    except TransportError as error:
        yield Finding.bad(
            "port", str(error), f"end what listens there (ss -ltnp 'sport = :{link.port}'), or set link.port"
        )
    else:
        yield Finding.good("port", f"a master may listen on {where}")


def master(patient: Patient) -> Iterator[Finding]:
    """Whether the master that this node dials, or is, answers as this node asks; how far the clocks are apart."""
    settings = patient.settings
    if patient.role == "master" and patient.status is None:
        return
    if patient.role != "master" and not settings.link.nodes:
        yield Finding.warning("master", "link.nodes is empty", "a worker needs the address of its master there")
        return
    bound = settings.link.bind_addr
    host = _ANYWHERE.get(bound, bound) if patient.role == "master" else settings.link.nodes[0]
    if settings.link.tls == "required":
        yield from _inside(patient, host)
    elif settings.link.key is not None:
        yield from _sealed(settings, host)


def _sealed(settings: Settings, host: str) -> Iterator[Finding]:
    where = endpoint(host, settings.link.port)
    try:
        answer = asyncio.run(ask_sealed(settings.link.keys, host, settings.link.port, real_ports()))
    except TransportError as error:
        yield _unreached(where, error, _KEY)
    except OutriderError as error:
        yield Finding.bad("master", f"{where}: {error}", _KEY)
    else:
        yield Finding.good("master", f"{where} answers within {1000 * answer.seconds:.0f} ms and has the same key")
        yield from _clock(settings, answer.ahead_s)


def _inside(patient: Patient, host: str) -> Iterator[Finding]:
    """With the node's own certificate; a master's is no client's, so that one shows itself none."""
    try:
        found = shown(patient)
    except StoreError:
        return  # the check of certificates says so
    if found is None or found.file is None or found.holder is None:
        return  # this as well
    port = patient.settings.link.port
    where = endpoint(host, port)
    identity = None if patient.role == "master" else found.identity
    try:
        answer = asyncio.run(ask_inside(identity, Authorities(found.file), host, port, real_ports()))
    except OutriderError as error:
        yield _unreached(where, error, _CERTIFICATE)
    else:
        took = f"answers within {1000 * answer.seconds:.0f} ms"
        yield Finding.good("master", f"{where} {took} inside TLS as the master {answer.master}")


def _unreached(where: str, error: OutriderError, refused: str) -> Finding:
    """``refused`` is what to do where somebody is there and does not take this node."""
    text = str(error)
    if text.startswith(REFUSALS):
        return Finding.bad("master", f"{where}: {text}", refused)
    if "closed" in text or "ended it" in text:  # a master closes without a word what it cannot open (1.3)
        return Finding.bad("master", f"{where} closes the connection: {text}", refused)
    return Finding.bad(
        "master", f"{where}: {text}", "start the master; if it runs, open link.port in the firewalls between"
    )


def _clock(settings: Settings, ahead_s: float) -> Iterator[Finding]:
    apart = f"the master's clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    remedy = "have both machines follow a time server (timedatectl set-ntp true)"
    allowed = settings.link.token_age_s
    # whole seconds on the wire, and the answer's way
    if allowed and abs(ahead_s) > min(allowed, 60):
        yield Finding.bad("master", f"{apart}: {AGE_SETTING} = {allowed:g} refuses what it says", remedy)
    elif abs(ahead_s) > _ALLOWED_SKEW_S:
        yield Finding.warning("master", apart, remedy)
    else:
        yield Finding.good("master", "the clocks agree")
