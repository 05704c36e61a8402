"""A node's certificate: made once, from chance alone, readable by its owner alone, and good at any time."""

from __future__ import annotations

import hashlib
import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.errors import StoreError
from outrider.store.identity import fingerprint, identity_of
from outrider.store.private_keys import private_pem

SEED = bytes(range(32))


def test_it_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    made = identity_of(tmp_path, SEED)
    assert made == identity_of(tmp_path, bytes(32))
    assert made.file == tmp_path / ".outrider/identity/node.pem"
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.file.parent.stat().st_mode) == 0o700
    assert [path.name for path in made.file.parent.iterdir()] == ["node.pem"]
    assert "PRIVATE" not in made.certificate


def test_chance_decides_all_of_it(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in "abc"]
    first, again, other = (identity_of(home, seed) for home, seed in zip(homes, (SEED, SEED, bytes(32)), strict=True))
    assert first.certificate == again.certificate != other.certificate


def test_its_dates_span_all_of_time_and_it_is_no_authority(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(identity_of(tmp_path, SEED).certificate.encode())
    assert (certificate.not_valid_before_utc.year, certificate.not_valid_after_utc.year) == (1970, 9999)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    certificate.verify_directly_issued_by(certificate)


def test_people_compare_the_sha_256_of_it(tmp_path: Path) -> None:
    certificate = identity_of(tmp_path, SEED).certificate
    assert fingerprint(certificate) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not a key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        private_pem(Ed25519PrivateKey.from_private_bytes(SEED), b"a passphrase that no node knows"),
        # what one flipped bit makes of an Ed25519 key: one of X448, that is too short
        private_pem(Ed25519PrivateKey.from_private_bytes(SEED)).replace(b"BQYDK2VwBC", b"BQYDK2VvBC"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy_and_stays(tmp_path: Path, damage: bytes) -> None:
    file = identity_of(tmp_path, SEED).file
    file.write_bytes(damage)
    with pytest.raises(StoreError, match=r"node\.pem is not this node's key and certificate: remove it"):
        identity_of(tmp_path, SEED)
    assert file.read_bytes() == damage


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / ".outrider").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot keep this node's certificate"):
        identity_of(tmp_path, SEED)


def test_a_pipe_in_its_place_is_told_and_not_waited_for(tmp_path: Path) -> None:
    file = identity_of(tmp_path, SEED).file
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(StoreError, match="it is no plain file; remove it"):
        identity_of(tmp_path, SEED)
