"""The memory of peers: who is known by what, several who use it at once, and a file that is damaged."""

from __future__ import annotations

import fcntl
import os
import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from outrider.errors import StoreError
from outrider.store.peers import Peer, Peers

MASTER = Peer(type="master", name="m", address="10.0.0.1:1516", version="1", certificate="aa", since=5.0)
WORKER = Peer(type="worker", name="w", address="10.0.0.2", version="1", certificate="bb", since=6.0)

PATIENCE_S = 30


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".outrider").mkdir()
    return tmp_path


def test_a_master_is_known_by_its_address_and_a_worker_by_its_name(home: Path) -> None:
    peers = Peers(home)
    assert peers.remember(WORKER) is None
    assert peers.remember(MASTER) is None
    again = Peers(home)
    assert again.all() == [MASTER, WORKER]
    assert (again.master("10.0.0.1:1516"), again.worker("w")) == (MASTER, WORKER)
    assert (again.master("10.0.0.9:1516"), again.worker("m")) == (None, None)


def test_what_changes_is_written_and_what_was_known_comes_back(home: Path) -> None:
    peers = Peers(home)
    peers.remember(WORKER)
    newer = msgspec.structs.replace(WORKER, version="2", certificate="cc", since=99.0)
    assert peers.remember(newer) == WORKER
    assert peers.worker("w") == msgspec.structs.replace(newer, since=WORKER.since)


def test_what_is_known_already_writes_nothing(home: Path) -> None:
    peers = Peers(home)
    peers.remember(WORKER)
    before = (home / ".outrider/peers.json").stat()
    assert peers.remember(msgspec.structs.replace(WORKER, since=99.0)) == WORKER
    after = (home / ".outrider/peers.json").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def test_who_runs_meanwhile_notices_what_another_forgets(home: Path) -> None:
    running = Peers(home)
    running.remember(MASTER)
    running.remember(WORKER)
    assert Peers(home).forget("m") == [MASTER]
    assert running.master(MASTER.address) is None
    assert Peers(home).forget(WORKER.address) == [WORKER]
    assert running.all() == []
    assert Peers(home).forget("w") == []


def test_a_home_without_a_memory_has_no_peers(tmp_path: Path) -> None:
    assert Peers(tmp_path).all() == []
    assert Peers(tmp_path).forget("w") == []
    assert not (tmp_path / ".outrider").exists()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"peers": [{"type": "king"}]}', b"\xff", b'{"x":' + b"[" * 3000])
def test_threat_10_a_damaged_memory_is_an_error_and_never_empty(home: Path, damage: bytes) -> None:
    (home / ".outrider/peers.json").write_bytes(damage)
    peers = Peers(home)
    for use in (partial(peers.worker, "w"), partial(peers.remember, WORKER), partial(peers.forget, "w")):
        with pytest.raises(StoreError, match=r"peers\.json is damaged .*: remove it"):
            use()


def test_nobody_s_memory_is_lost_when_many_write_at_once(home: Path) -> None:
    def remember(number: int) -> None:
        Peers(home).remember(msgspec.structs.replace(WORKER, name=f"w{number:02}"))

    threads = [threading.Thread(target=remember, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [peer.name for peer in Peers(home).all()] == [f"w{number:02}" for number in range(20)]


def test_a_peer_is_remembered_while_an_apply_that_was_cut_short_holds_the_tree(home: Path) -> None:
    """The rest of its bundle comes over the link whose peer is remembered here: neither would ever end."""
    held = os.open(home / ".outrider", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        remembering = threading.Thread(target=Peers(home).remember, args=(MASTER,), daemon=True)
        remembering.start()
        remembering.join(PATIENCE_S)
        assert not remembering.is_alive()
    finally:
        os.close(held)
    assert Peers(home).all() == [MASTER]
