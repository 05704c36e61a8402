"""The cluster's authority and its keys: what was told is so for good, and a token opens once."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.faults.scenario import Scenario, attempt, possible
from tests.faults.strace import Outcome
from tests.support.authority import FOLDER, authority_at, certify

from outrider.exchange.keys import _write as write_key_file
from outrider.protocol.certificates import holder_of, make_request, read
from outrider.protocol.joining import Token
from outrider.settings.key import make_key
from outrider.settings.key_file import read_key_file
from outrider.store.authority import Authority
from outrider.store.rotation import Rotation, read_rotation, write_rotation

_NOW = 1_800_000_000.0
_KEYS = [make_key(Random(seed)) for seed in range(2)]
_KEY_FILE = "cluster.key"
_REQUEST = make_request(Ed25519PrivateKey.from_private_bytes(bytes(32)), "worker1")
_FIRST = Rotation(phase="adding", new="b", old=("a",), began=_NOW, window_s=60)
_SECOND = msgspec.structs.replace(_FIRST, phase="sealing")
_WINDOW_S = 60.0


def _authority(home: Path, seed: int = 2) -> Authority:
    return Authority(home / FOLDER, Random(seed))


class Certificates(Scenario):
    """A token is made and one redeemed, a node is revoked, the authority replaced; the cluster key gets a successor."""

    name = "authority"

    def prepare(self) -> None:
        authority = authority_at(self.home, now=_NOW)
        certify(authority, self.home, "head", "master", now=_NOW)
        token = authority.token("worker1", 3600, _NOW)
        (self.folder / "token").write_text(token.encode())
        (self.folder / "granted").unlink(missing_ok=True)
        (self.home / _KEY_FILE).touch(0o600)
        write_key_file(self.home / _KEY_FILE, _KEYS[:1])
        write_rotation(self.home, _FIRST)

    @staticmethod
    def act(home: Path) -> None:
        authority = _authority(home)
        with attempt("token"):
            authority.token("worker2", 3600, _NOW)
        with attempt("redeem"):
            token = Token.decode((home.parent / "token").read_text())
            _, certificate = authority.redeem(token.id, token.secret, _REQUEST, _NOW)
            (home.parent / "granted").write_text(certificate)
        with attempt("revoke"):
            authority.revoke("head", _NOW)
        with attempt("rotate"):
            authority.rotate("wazuh", _NOW, _WINDOW_S)
        with attempt("finish"):
            authority.finish(_NOW)
        with attempt("key"):
            _write_keys(home)
        with attempt("rotation"):
            write_rotation(home, _SECOND)

    def check(self, outcome: Outcome) -> str:
        if not outcome.died:
            assert self._leftovers() == [], "space was not freed"
        authority = _authority(self.home, 3)
        authority.check_keys()
        many = possible(1, (("rotate", lambda n: n + 1), ("finish", lambda _: 1)), outcome)
        assert len(authority.trust().authorities) in many, f"{len(authority.trust().authorities)} authorities"
        tokens = {one.name for one in authority.ledger().tokens}
        assert "worker2" in tokens or "token" not in outcome.done, "a token that was made is not known"
        self._check_worker(authority, outcome)
        self._check_master(authority, outcome)
        keys = possible(_KEYS[:1], (("key", lambda _: _KEYS),), outcome)
        assert read_key_file(self.home / _KEY_FILE) in keys
        assert read_rotation(self.home) in possible(_FIRST, (("rotation", lambda _: _SECOND),), outcome)
        # Each file is written once more, which takes away what a crash left of it.
        if authority.ledger().drop_at is None:
            authority.rotate("wazuh", _NOW, _WINDOW_S)
        authority.finish(_NOW)
        _write_keys(self.home)
        write_rotation(self.home, _SECOND)
        authority.check_keys()
        assert self._leftovers() == [], "something is left over after the next start"
        return f"{len(outcome.done)} done"

    def _check_worker(self, authority: Authority, outcome: Outcome) -> None:
        """A certificate that has left can be revoked, and its token opens nothing more."""
        granted = self.folder / "granted"
        assert granted.exists() or "redeem" not in outcome.done
        token = Token.decode((self.folder / "token").read_text())
        try:
            authority.redeem(token.id, token.secret, _REQUEST, _NOW)
        except ValueError as error:
            refused = str(error)
        else:
            refused = ""
        assert "has been used already" in refused or not granted.exists(), "a token opens twice"
        revoked = authority.revoke("worker1", _NOW)
        if granted.exists():
            serial = holder_of(read(granted.read_bytes()), "").serial
            assert serial in {one.serial for one in revoked}, "a certificate that left cannot be revoked"

    def _check_master(self, authority: Authority, outcome: Outcome) -> None:
        """Whoever was revoked is; where that was cut short, the next try does it."""
        (head,) = [one for one in authority.ledger().issued if one.name == "head"]
        # A list tells of the certificates of an authority that is still trusted.
        trusted = head.authority in authority.trust().fingerprints
        if "revoke" in outcome.done:
            assert head.revoked is not None, "who was revoked is good again"
            assert not trusted or authority.trust().lists(head.serial), "nobody hears who was revoked"
        authority.revoke("head", _NOW)
        assert not trusted or authority.trust().lists(head.serial)

    def _leftovers(self) -> list[str]:
        return [path.name for path in self.home.rglob("*") if ".outrider-" in path.name]


def _write_keys(home: Path) -> None:
    write_key_file(home / _KEY_FILE, _KEYS)
