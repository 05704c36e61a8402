"""What a node shows and trusts is what its files say, read again when they change."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from tests.support.authority import FOLDER, authority_at, certify

from outrider.errors import StoreError
from outrider.store.credentials import CredentialFiles
from outrider.store.identity import NODE, TRUST, install_trust


def test_without_an_authority_there_is_a_certificate_and_nobody_to_trust(tmp_path: Path) -> None:
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    found = files.read()
    assert found is not None
    assert (found.trust, found.file, found.holder) == (None, None, None)
    assert files.read() is None


def test_a_new_certificate_and_a_new_list_are_noticed(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    home = tmp_path / "worker1"
    certify(authority, home, "worker1")
    files = CredentialFiles(home, home / FOLDER, b"s" * 32)
    found = files.read()
    assert found is not None
    assert found.holder is not None
    assert (found.holder.name, found.file) == ("worker1", home / TRUST)
    authority.revoke("worker2", 0)
    install_trust(home, authority.trust().text)
    assert files.read() is not None
    assert files.read() is None


def test_who_holds_the_authority_trusts_what_stands_there(tmp_path: Path) -> None:
    authority = authority_at(tmp_path)
    certify(authority, tmp_path, "master-node", "master")
    found = CredentialFiles(tmp_path, authority.folder, b"s" * 32).read()
    assert found is not None
    assert found.file == authority.folder / "trust.pem"


def test_a_certificate_of_no_authority_there_is_nobody_s(tmp_path: Path) -> None:
    certify(authority_at(tmp_path / "a", seed=1), tmp_path / "home", "worker1")
    install_trust(tmp_path / "home", authority_at(tmp_path / "b", seed=2).trust().text)
    found = CredentialFiles(tmp_path / "home", tmp_path / "none", b"s" * 32).read()
    assert found is not None
    assert found.holder is None
    assert found.trust is not None


def test_a_damaged_file_is_told_once_and_read_again_when_it_is_mended(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    (tmp_path / TRUST).write_text("x")
    with pytest.raises(StoreError, match=r"trust.pem is damaged: .*; `outrider join` makes it anew"):
        files.read()
    assert files.read() is None
    install_trust(tmp_path, authority.trust().text)
    found = files.read()
    assert found is not None
    assert found.holder is not None
    (tmp_path / NODE).write_text("x")
    with pytest.raises(StoreError, match=r"node.pem is not this node's key and certificate"):
        files.read()


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
    assert files.read() is not None
    assert files.read() is None


def test_a_pipe_in_the_place_of_the_list_is_told_and_not_waited_for(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "master")
    certify(authority, tmp_path, "worker1")
    files = CredentialFiles(tmp_path, tmp_path / FOLDER, b"s" * 32)
    assert files.read() is not None
    (tmp_path / TRUST).unlink()
    os.mkfifo(tmp_path / TRUST)
    with pytest.raises(StoreError, match="it is no plain file; `outrider join` makes it anew"):
        files.read()
    (tmp_path / TRUST).unlink()
    install_trust(tmp_path, authority.trust().text)
    assert files.read() is not None
