"""Whatever comes in the place of a certificate, a list or a request: taken as it was made, or one error says no.

As it was made is what was signed: how many bits of the signature's last byte count, DER says outside of that.
"""

from __future__ import annotations

import base64
import contextlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from outrider.protocol.certificates import Signer, Trust, make_authority, make_request, pem, requested_key

NOW = 1_700_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
AUTHORITY = Signer(make_authority(KEY, "wazuh", 1, NOW, 100), KEY)
LIST = AUTHORITY.revoke([], 1, NOW)
TRUST = Trust(pem(AUTHORITY.certificate) + LIST)
NODE = AUTHORITY.sign(KEY.public_key(), "worker1", "worker", serial=7, now=NOW, days=10).public_bytes(Encoding.DER)
REQUEST = x509.load_pem_x509_csr(make_request(KEY, "worker1").encode()).public_bytes(Encoding.DER)
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
CHANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), min_size=1, max_size=4)


def changed(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """``data`` with some bytes that are others."""
    new = bytearray(data)
    for at, by in changes:
        new[at % len(new)] ^= by
    return bytes(new)


def as_pem(data: bytes, what: str) -> str:
    return f"-----BEGIN {what}-----\n{base64.encodebytes(data).decode()}-----END {what}-----\n"


@given(CHANGES)
def test_a_certificate_that_was_changed_anywhere_is_not_taken(changes: list[tuple[int, int]]) -> None:
    other = changed(NODE, changes)
    with contextlib.suppress(ValueError):
        TRUST.judge(other, "worker", NOW)
        signed = x509.load_der_x509_certificate
        assert signed(other).tbs_certificate_bytes == signed(NODE).tbs_certificate_bytes


@given(st.binary(max_size=600))
def test_rubbish_is_no_certificate(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        TRUST.judge(data, "worker", NOW)
        raise AssertionError("it was taken")


@given(CHANGES, CHANGES)
def test_whom_to_trust_is_read_or_refused(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    authority = AUTHORITY.certificate.public_bytes(Encoding.DER)
    revoked = x509.load_pem_x509_crl(LIST.encode()).public_bytes(Encoding.DER)
    with contextlib.suppress(ValueError):
        Trust(as_pem(changed(authority, one), "CERTIFICATE") + LIST)
    with contextlib.suppress(ValueError):
        Trust(pem(AUTHORITY.certificate) + as_pem(changed(revoked, other), "X509 CRL"))
        signed = x509.load_der_x509_crl
        assert signed(changed(revoked, other)).tbs_certlist_bytes == signed(revoked).tbs_certlist_bytes


@given(CHANGES)
def test_a_request_that_was_changed_proves_nothing(changes: list[tuple[int, int]]) -> None:
    other = changed(REQUEST, changes)
    with contextlib.suppress(ValueError):
        requested_key(as_pem(other, "CERTIFICATE REQUEST"))
        signed = x509.load_der_x509_csr
        assert signed(other).tbs_certrequest_bytes == signed(REQUEST).tbs_certrequest_bytes


@given(st.text(max_size=300))
def test_text_is_no_trust(text: str) -> None:
    with contextlib.suppress(ValueError):
        Trust(text)
        raise AssertionError("it was taken")
