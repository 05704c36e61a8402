"""What a node shows and trusts is what its files say, read again when they change."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from tests.support.authority import FOLDER, authority_at, certify

from outrider.errors import StoreError
from outrider.store.credentials import CredentialFiles, Shown
from outrider.store.identity import NODE, TRUST, install_trust


def read(files: CredentialFiles) -> Shown:
    """What they say, after a change."""
    assert files.read()
    assert files.shown is not None
    return files.shown


def test_without_an_authority_there_is_a_certificate_and_nobody_to_trust(tmp_path: Path) -> None:
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    found = read(files)
    assert (found.trust, found.file, found.holder) == (None, None, None)
    assert not files.read()


def test_a_new_certificate_and_a_new_list_are_noticed(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    home = tmp_path / "worker1"
    certify(authority, home, "worker1")
    files = CredentialFiles(home, home / FOLDER, b"s" * 32)
    found = read(files)
    assert found.holder is not None
    assert (found.holder.name, found.file) == ("worker1", home / TRUST)
    authority.revoke("worker2", 0)
    install_trust(home, authority.trust().text)
    assert files.read()
    assert not files.read()


def test_who_holds_the_authority_trusts_what_stands_there(tmp_path: Path) -> None:
    authority = authority_at(tmp_path)
    certify(authority, tmp_path, "master-node", "master")
    found = read(CredentialFiles(tmp_path, authority.folder, b"s" * 32))
    assert found.file == authority.folder / "trust.pem"


def test_a_certificate_of_no_authority_there_is_nobody_s(tmp_path: Path) -> None:
    certify(authority_at(tmp_path / "a", seed=1), tmp_path / "home", "worker1")
    install_trust(tmp_path / "home", authority_at(tmp_path / "b", seed=2).trust().text)
    found = read(CredentialFiles(tmp_path / "home", tmp_path / "none", b"s" * 32))
    assert found.holder is None
    assert found.trust is not None


def test_a_damaged_file_is_told_until_it_is_mended(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    (tmp_path / TRUST).write_text("x")
    for _ in range(3):
        with pytest.raises(StoreError, match=r"trust.pem is damaged: .*; `outrider join` makes it anew") as told:
            files.read()
    assert len(told.traceback) < 10, "one error was raised again and again, each time with a longer way behind it"
    install_trust(tmp_path, authority.trust().text)
    assert read(files).holder is not None
    (tmp_path / NODE).write_text("x")
    with pytest.raises(StoreError, match=r"node.pem is not this node's key and certificate"):
        files.read()


def test_threat_14_who_is_revoked_is_heard_although_the_own_certificate_is_damaged(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    before = read(files)
    (tmp_path / NODE).write_text("x")
    authority.revoke("master-node", 0)
    install_trust(tmp_path, authority.trust().text)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"node.pem is not this node's key and certificate"):
            files.read()
        assert files.shown is not None
        assert files.shown.trust is not None
        assert files.shown.trust.text == authority.trust().text
        assert files.shown.identity == before.identity, "the one that peers know is shown as long as it can be"


@pytest.mark.parametrize("changed", [NODE, TRUST])
def test_threat_14_a_list_that_cannot_be_read_for_now_is_read_as_soon_as_it_can_be(
    tmp_path: Path, changed: Path
) -> None:
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    files.read()
    if changed == TRUST:
        authority.revoke("worker1", 0)
        install_trust(tmp_path, authority.trust().text)
    else:
        os.utime(tmp_path / NODE, (1, 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for _ in range(2):
            with pytest.raises(StoreError, match="Too many open files"):
                files.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert files.read()
    assert not files.read()


def test_threat_10_a_list_that_is_lost_is_told_and_what_it_said_stands(tmp_path: Path) -> None:
    """Who ran with an authority would otherwise go by the cluster key from then on, without a word."""
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    before = read(files)
    (tmp_path / TRUST).unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"trust.pem is gone: `outrider join` makes it anew; this node goes by"):
            files.read()
        assert files.shown == before
    install_trust(tmp_path, authority.trust().text)
    assert read(files).holder is not None


def test_threat_14_an_older_list_does_not_take_the_place_of_the_authority_s_that_is_lost(tmp_path: Path) -> None:
    authority = authority_at(tmp_path)
    certify(authority, tmp_path, "master-node", "master")
    install_trust(tmp_path, authority.trust().text)
    authority.revoke("worker1", 0)
    files = CredentialFiles(tmp_path, authority.folder, b"s" * 32)
    before = read(files)
    (authority.folder / "trust.pem").unlink()
    with pytest.raises(StoreError, match=r"ca/trust.pem is gone: restore it from a copy"):
        files.read()
    assert files.shown == before


def test_threat_15_no_new_certificate_takes_the_place_of_one_that_is_lost_while_the_node_runs(tmp_path: Path) -> None:
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    before = read(files)
    whole = (tmp_path / NODE).read_bytes()
    (tmp_path / NODE).unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"node.pem is gone: restore it from a copy, or start this node again"):
            files.read()
    assert not (tmp_path / NODE).exists()
    (tmp_path / NODE).write_bytes(whole)
    assert read(files) == before


def test_a_pipe_in_the_place_of_the_list_is_told_and_not_waited_for(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    assert files.read()
    (tmp_path / TRUST).unlink()
    os.mkfifo(tmp_path / TRUST)
    with pytest.raises(StoreError, match="it is no plain file; `outrider join` makes it anew"):
        files.read()
    (tmp_path / TRUST).unlink()
    install_trust(tmp_path, authority.trust().text)
    assert files.read()
