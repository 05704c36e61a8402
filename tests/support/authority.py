"""A cluster's authority at the start of a simulation, and homes that have certificates of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.loop import EPOCH

from outrider.protocol.certificates import NodeRole
from outrider.store.authority import NODE_DAYS, Authority
from outrider.store.identity import install

FOLDER = Path(".outrider/ca")


def authority_at(home: Path, *, seed: int = 1, cluster: str = "wazuh", now: float = EPOCH) -> Authority:
    """A new authority below ``home``."""
    made = Authority(home / FOLDER, Random(seed))
    made.create(cluster, now)
    return made


def certify(
    authority: Authority,
    home: Path,
    name: str,
    role: NodeRole = "worker",
    *,
    now: float = EPOCH,
    days: float = NODE_DAYS,
) -> None:
    """The node at ``home`` gets a certificate, and trusts the authority."""
    home.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.from_private_bytes(Random(f"{name} {now}").randbytes(32))
    certificate = authority.issue(key.public_key(), name, role, now, days)
    install(home, key, certificate, authority.trust().text)
