"""The authority's folder: who may read it, what it signs once, and what outlives a crash or another process."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outrider.errors import StoreError
from outrider.protocol.certificates import make_request
from outrider.store.authority import Authority

NOW = 1_700_000_000.0
DAY_S = 86_400.0
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
REQUEST = make_request(KEY, "worker1")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "home/ca", Random(1))
    made.create("wazuh", NOW)
    return made


def issue(authority: Authority, name: str = "worker1", now: float = NOW) -> bytes:
    return authority.issue(KEY.public_key(), name, "worker", now).encode()


def test_its_key_is_for_its_owner_alone(authority: Authority) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in authority.folder.iterdir()}
    assert modes == {"ca.key": 0o600, "ledger.json": 0o600, "trust.pem": 0o644}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_there_is_one_in_a_folder(authority: Authority) -> None:
    with pytest.raises(StoreError, match=r"holds an authority already; `outrider ca rotate` replaces it"):
        authority.create("wazuh", NOW)


def test_where_there_is_none_the_remedy_is_named(tmp_path: Path) -> None:
    nowhere = Authority(tmp_path, Random(1))
    with pytest.raises(StoreError, match=r"there is no authority in .*; `outrider ca init` makes one"):
        nowhere.token("worker1", 60, NOW)
    assert not nowhere.exists


def test_a_passphrase_guards_the_key(tmp_path: Path) -> None:
    secret = tmp_path / "pass"
    secret.write_text("open sesame\n")
    guarded = Authority(tmp_path / "ca", Random(1), secret)
    guarded.create("wazuh", NOW)
    assert b"ENCRYPTED" in (guarded.folder / "ca.key").read_bytes()
    issue(guarded)
    with pytest.raises(StoreError, match="it is encrypted: name the file with its passphrase"):
        issue(Authority(guarded.folder, Random(2)), "worker2")
    secret.write_text("another\n")
    with pytest.raises(StoreError, match="the passphrase is another, or the file is damaged"):
        issue(guarded, "worker2")
    secret.write_text("\n")
    with pytest.raises(StoreError, match="its first line is empty"):
        issue(guarded, "worker2")
    secret.unlink()
    os.mkfifo(secret)
    with pytest.raises(StoreError, match="it is no plain file"):
        issue(guarded, "worker2")


def test_threat_15_a_name_has_one_good_certificate(authority: Authority) -> None:
    issue(authority)
    for again in (lambda: issue(authority), lambda: authority.token("worker1", 60, NOW)):
        with pytest.raises(StoreError, match=r"worker1 has a certificate that is good; .*: outrider ca revoke worker1"):
            again()
    authority.revoke("worker1", NOW)
    issue(authority)
    issue(authority, now=NOW + 366 * DAY_S)  # it has expired


def test_threat_14_a_token_works_once_also_after_a_restart(authority: Authority) -> None:
    token = authority.token("worker1", 60, NOW)
    assert token.secret not in (authority.folder / "ledger.json").read_text()
    assert len(bytes.fromhex(token.secret)) * 8 == 256
    name, certificate = authority.redeem(token.id, token.secret, REQUEST, NOW)
    assert name == "worker1"
    assert authority.trust().judge(certificate.encode(), "worker", NOW).name == "worker1"
    with pytest.raises(ValueError, match="the token has been used already"):
        Authority(authority.folder, Random(2)).redeem(token.id, token.secret, REQUEST, NOW)


def test_threat_14_a_token_needs_its_secret_its_time_and_a_name_that_is_free(authority: Authority) -> None:
    token = authority.token("worker1", 60, NOW)
    for wrong in ((token.id, "00" * 32), ("ffff", token.secret)):
        with pytest.raises(ValueError, match="the token is not known here"):
            authority.redeem(*wrong, REQUEST, NOW)
    with pytest.raises(ValueError, match="the token has expired"):
        authority.redeem(token.id, token.secret, REQUEST, NOW + 61)
    with pytest.raises(ValueError, match="cannot be read"):
        authority.redeem(token.id, token.secret, "rubbish", NOW)
    issue(authority)
    with pytest.raises(StoreError, match="has a certificate that is good"):
        authority.redeem(token.id, token.secret, REQUEST, NOW)


def test_threat_14_whoever_is_revoked_loses_tokens_as_well(authority: Authority) -> None:
    token = authority.token("worker1", 60, NOW)
    issue(authority, "worker2")
    assert authority.revoke("worker1", NOW) == []
    with pytest.raises(ValueError, match="not known"):
        authority.redeem(token.id, token.secret, REQUEST, NOW)


def test_threat_14_revoked_by_name_or_by_serial_it_stands_in_the_list(authority: Authority) -> None:
    certificate = issue(authority)
    (issued,) = authority.ledger().issued
    assert [one.name for one in authority.revoke(issued.serial, NOW)] == ["worker1"]
    with pytest.raises(ValueError, match="revoked"):
        authority.trust().judge(certificate, "worker", NOW)
    assert authority.revoke("worker1", NOW) == []


def test_only_a_good_certificate_is_renewed(authority: Authority) -> None:
    held = authority.trust().judge(issue(authority), "worker", NOW)
    later = NOW + 250 * DAY_S
    renewed = authority.trust().judge(authority.renew(held, REQUEST, later).encode(), "worker", later)
    assert (renewed.name, renewed.until) == ("worker1", later + 365 * DAY_S)
    authority.revoke("worker1", later)
    with pytest.raises(ValueError, match="only a certificate that is good can be renewed"):
        authority.renew(held, REQUEST, later)


def test_threat_14_a_worker_s_credentials_fill_no_ledger(authority: Authority) -> None:
    held = authority.trust().judge(issue(authority), "worker", NOW)
    with pytest.raises(ValueError, match="more than half of its time is left"):
        authority.renew(held, REQUEST, NOW + 100 * DAY_S)
    for minute in range(4):
        authority.renew(held, REQUEST, NOW + 250 * DAY_S + 60 * minute)
    with pytest.raises(ValueError, match="worker1 has 4 new certificates already, and shows none of them"):
        authority.renew(held, REQUEST, NOW + 250 * DAY_S + 600)
    assert len(authority.ledger().issued) == 5
    authority.renew(held, REQUEST, NOW + 251 * DAY_S)  # its disk was full: it need not wait until it has expired
    with pytest.raises(ValueError, match="worker1 has 5 new certificates already"):
        authority.renew(held, REQUEST, NOW + 251 * DAY_S + 60)
    authority.rotate("wazuh", NOW + 251 * DAY_S, DAY_S)
    authority.renew(held, REQUEST, NOW + 251 * DAY_S)  # of another authority it needs a new one at once


def test_an_authority_is_replaced_in_three_steps(authority: Authority) -> None:
    old = issue(authority)
    first = authority.trust().fingerprint
    assert authority.rotate("wazuh", NOW, 60) == NOW + 60
    new = issue(authority, "worker2")
    both = authority.trust()
    assert both.fingerprints[1] == first != both.fingerprint
    assert both.judge(old, "worker", NOW).authority == first
    assert both.judge(new, "worker", NOW).authority == both.fingerprint
    with pytest.raises(StoreError, match="is being replaced already"):
        authority.rotate("wazuh", NOW, 60)
    assert [authority.outlived(now) for now in (NOW + 59, NOW + 60)] == [False, True]
    authority.revoke("worker1", NOW)  # the list of the old one goes on
    with pytest.raises(ValueError, match="revoked"):
        authority.trust().judge(old, "worker", NOW)
    authority.finish(NOW + 60)
    assert authority.trust().fingerprints == [both.fingerprint]
    assert (authority.folder / "ca.key").read_bytes().count(b"BEGIN") == 1
    assert not authority.hasten(NOW + 61)


def test_a_replacement_can_be_ended_at_once(authority: Authority) -> None:
    authority.rotate("wazuh", NOW, 10 * DAY_S)
    assert not authority.outlived(NOW)
    assert authority.hasten(NOW)
    assert authority.outlived(NOW)


def test_a_crash_while_a_replacement_begins_leaves_the_old_one(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = authority.trust().fingerprint

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(authority, "_publish", crash)  # both keys are written by then
    with pytest.raises(KeyboardInterrupt):
        authority.rotate("wazuh", NOW, 60)
    after = Authority(authority.folder, Random(3))
    assert after.trust().fingerprint == first
    after.trust().judge(issue(after), "worker", NOW)
    after.rotate("wazuh", NOW, 60)


@pytest.mark.parametrize(("name", "text"), [("ledger.json", "{"), ("trust.pem", "x"), ("ca.key", "x")])
def test_a_damaged_file_is_named(authority: Authority, name: str, text: str) -> None:
    (authority.folder / name).write_text(text)
    with pytest.raises(StoreError, match=name):
        issue(authority)


def test_a_ledger_of_a_lot_of_certificates_is_read_as_it_was_written(authority: Authority) -> None:
    for number in range(50):
        issue(authority, f"worker{number}")
    assert [one.name for one in authority.ledger().issued] == [f"worker{number}" for number in range(50)]
    assert len({one.serial for one in authority.ledger().issued}) == 50


@pytest.mark.parametrize("name", ["trust.pem", "ledger.json"])
def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(authority: Authority, name: str) -> None:
    (authority.folder / name).unlink()
    os.mkfifo(authority.folder / name)
    with pytest.raises(StoreError, match=rf"{name} is damaged.*it is no plain file"):
        authority.ledger()
