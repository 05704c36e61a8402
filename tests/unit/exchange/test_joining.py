"""What a joining node takes of a master that has proved who it is: the certificate that was asked for, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.authority import authority_at
from tests.support.loop import EPOCH

from outrider.exchange.joining import _check_granted
from outrider.protocol.joining import Token

KEY, ANOTHER = (Ed25519PrivateKey.from_private_bytes(one * 32) for one in (b"k", b"a"))


@pytest.mark.parametrize(
    ("name", "key", "seed", "reason"),
    [
        ("worker1", KEY, 1, None),
        ("worker2", KEY, 1, "it grants a certificate for worker2, and worker1 was to join"),
        ("worker1", KEY, 2, "worker1 was to join"),
        ("worker1", ANOTHER, 1, "it grants a certificate for another key"),
    ],
    ids=["right", "another name", "another authority", "another key"],
)
def test_another_certificate_than_the_one_that_was_asked_for_is_refused(
    tmp_path: Path, name: str, key: Ed25519PrivateKey, seed: int, reason: str | None
) -> None:
    trust = authority_at(tmp_path / "a").trust()
    token = Token("worker1", "id", "secret", (trust.fingerprint,))
    granted = authority_at(tmp_path / "b", seed=seed).issue(key.public_key(), name, "worker", EPOCH)
    if reason is None:
        _check_granted(trust, token, KEY, granted)
        return
    with pytest.raises(ValueError, match=reason):
        _check_granted(trust, token, KEY, granted)
