"""Certificates of the cluster: what they say, what is signed, and every reason for which one is not taken."""

from __future__ import annotations

from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from outrider.protocol.certificates import (
    Holder,
    Revocation,
    Signer,
    Trust,
    holder_of,
    make_authority,
    make_request,
    pem,
    requested_key,
)

NOW = 1_700_000_000.0
DAY_S = 86_400.0


def key(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(Random(seed).randbytes(32))


def signer(seed: int = 1, days: float = 100) -> Signer:
    return Signer(make_authority(key(seed), "wazuh", seed, NOW, days), key(seed))


def certificate(of: Signer, name: str = "worker1", role: str = "worker", serial: int = 7, days: float = 10) -> bytes:
    public = key(50).public_key()
    return pem(of.sign(public, name, role, serial=serial, now=NOW, days=days)).encode()  # type: ignore[arg-type]


def trust(*signers: Signer, revoked: tuple[str, ...] = ()) -> Trust:
    lists = [Revocation(serial, NOW) for serial in revoked]
    return Trust("".join([pem(one.certificate) + one.revoke(lists, 1, NOW) for one in signers]))


def test_a_certificate_names_its_node_its_role_and_its_dates() -> None:
    authority = signer()
    held = trust(authority).judge(certificate(authority, days=10), "worker", NOW)
    assert held == Holder("worker1", "worker", "7", trust(authority).fingerprint, NOW - 300, NOW + 10 * DAY_S)
    assert trust(authority).judge(certificate(authority, "m", "master"), "master", NOW).role == "master"


def test_der_is_as_good_as_pem() -> None:
    authority = signer()
    der = x509.load_pem_x509_certificate(certificate(authority)).public_bytes(serialization.Encoding.DER)
    assert trust(authority).judge(der, "worker", NOW).name == "worker1"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOW - 301, "its certificate is not valid before 2023-11-14 22:08:20Z: compare the clocks"),
        (NOW + 10 * DAY_S + 1, "its certificate has expired on 2023-11-24 22:13:20Z"),
    ],
)
def test_threat_08_dates(now: float, reason: str) -> None:
    authority = signer()
    with pytest.raises(ValueError, match=reason):
        trust(authority).judge(certificate(authority), "worker", now)
    assert trust(authority).judge(certificate(authority), "worker", None).name == "worker1"


def test_threat_08_another_authority_of_the_same_name_is_another() -> None:
    with pytest.raises(ValueError, match="of no authority that this node trusts"):
        trust(signer(1)).judge(certificate(signer(2)), "worker", NOW)
    forged = Signer(signer(1).certificate, key(2))  # the right name over the wrong key
    with pytest.raises(ValueError, match="of no authority that this node trusts"):
        trust(signer(1)).judge(certificate(forged), "worker", NOW)


def test_threat_14_what_is_revoked_is_not_taken() -> None:
    authority = signer()
    trusted = trust(authority, revoked=("7",))
    with pytest.raises(ValueError, match="has been revoked"):
        trusted.judge(certificate(authority, serial=7), "worker", NOW)
    assert trusted.judge(certificate(authority, serial=8), "worker", NOW).serial == "8"


def test_threat_14_a_worker_does_not_make_a_master() -> None:
    authority = signer()
    with pytest.raises(ValueError, match="its certificate is a worker's, not a master's"):
        trust(authority).judge(certificate(authority), "master", NOW)


def test_a_list_of_revoked_ones_belongs_to_each_authority_and_is_its_own() -> None:
    one, other = signer(1), signer(2)
    with pytest.raises(ValueError, match="without the list"):
        Trust(pem(one.certificate))
    with pytest.raises(ValueError, match="without the list"):
        Trust(pem(one.certificate) + other.revoke([], 1, NOW))
    forged = Signer(one.certificate, other.key).revoke([], 2, NOW)
    with pytest.raises(ValueError, match="without the list"):
        Trust(pem(one.certificate) + forged)
    with pytest.raises(ValueError, match=r".*"):
        Trust("nothing of the kind")


def test_two_authorities_are_trusted_while_one_replaces_the_other() -> None:
    old, new = signer(1), signer(2)
    both = trust(new, old)
    assert both.fingerprints == [trust(new).fingerprint, trust(old).fingerprint]
    assert both.fingerprint == trust(new).fingerprint
    assert [both.judge(certificate(one), "worker", NOW).authority for one in (new, old)] == both.fingerprints


def test_nobody_outlives_the_authority() -> None:
    authority = signer(days=5)
    assert trust(authority).judge(certificate(authority, days=10), "worker", NOW).until == NOW + 5 * DAY_S


def test_it_is_due_when_a_third_is_left_or_another_authority_signs() -> None:
    held = Holder("w", "worker", "7", "aa", 0, 300)
    assert [held.due("aa", now) for now in (0, 199, 201, 400)] == [False, False, True, True]
    assert held.due("bb", 0)


def test_a_certificate_that_names_no_node_is_none_of_ours() -> None:
    with pytest.raises(ValueError, match="names no node"):
        holder_of(signer().certificate, "")
    with pytest.raises(ValueError, match="cannot be read"):
        trust(signer()).judge(b"rubbish", "worker", NOW)


def test_a_request_proves_that_its_key_is_the_asker_s() -> None:
    assert requested_key(make_request(key(3), "worker1")) == key(3).public_key()
    with pytest.raises(ValueError, match="cannot be read"):
        requested_key("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
    changed = make_request(key(3), "worker1").splitlines()
    changed[-2] = changed[-2][:-6] + ("AAAA" if not changed[-2].startswith("AAAA", -6) else "BBBB") + changed[-2][-2:]
    with pytest.raises(ValueError, match="the request for a certificate"):
        requested_key("\n".join(changed) + "\n")


def test_a_request_with_another_kind_of_key_is_refused() -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worker1")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    foreign = request.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    with pytest.raises(ValueError, match="Ed25519"):
        requested_key(foreign.public_bytes(serialization.Encoding.PEM).decode())
