"""Real processes of a cluster with an authority: made, joined, cut off, taken over, replaced."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.half_open import HalfOpen
from tests.support.middle import Middle
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider.store.identity import install_trust

EXTENDED = "the link is extended: TLS 1.3 with master-node.*vouched for by the cluster's authority"


def outrider(*words: str, fails: bool = False) -> str:
    """What a command writes: on standard error if it must fail."""
    command = [sys.executable, "-m", "outrider", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def authority(folder: Path, tls: str = "required", *, deadline_s: float = 3) -> Node:
    """A master that holds an authority."""
    master = Node(
        "master", folder / "master-node", port=free_port(), link={"tls": tls}, handshake_deadline_s=deadline_s
    )
    outrider("ca", "init", "--home", str(master.home), "--set", "node.name=master-node")
    return master


def token(master: Node, name: str) -> str:
    return outrider("ca", "token", name, "--home", str(master.home)).strip()


def joined(master: Node, name: str, *, port: int | None = None, tls: str = "required") -> Node:
    """A worker that has joined; the master must run."""
    worker = Node("worker", master.home.parent / name, port=port or master.port, link={"tls": tls})
    at = f"127.0.0.1:{master.port}"
    said = outrider("join", token(master, name), "--master", at, "--home", str(worker.home))
    assert said.startswith(f"{name} has joined")
    return worker


def test_a_new_worker_joins_with_one_command_and_all_of_its_link_is_tls(tmp_path: Path) -> None:
    master = authority(tmp_path)
    master.write("a", b"one")
    with nodes(master):
        worker = joined(master, "worker1")
        with nodes(worker):
            wait_until(lambda: worker.tree() == {"tree/a": b"one"}, "the file to arrive")
            assert worker.said(EXTENDED) == master.said("the link to worker1 is extended: .*authority") == 1
            identity = worker.home / ".outrider/identity"
            modes = {file.name: file.stat().st_mode & 0o777 for file in identity.iterdir()}
            assert modes == {"node.pem": 0o600, "trust.pem": 0o644}
            key = (identity / "node.pem").read_bytes().partition(b"-----END PRIVATE KEY-----")[0]
            assert key not in b"".join(file.read_bytes() for file in (master.home / ".outrider/ca").iterdir())
            assert "days left" in outrider("status", "--home", str(worker.home))
            shown = json.loads(outrider("status", "--json", "--home", str(worker.home)))["status"]["certificate"]
            assert shown["name"] == "worker1"
            for node, says in (
                (worker, "of the worker worker1, good until"),
                (master, "this node holds the authority"),
            ):
                seen = outrider("doctor", "--config", str(node.config), "--home", str(node.home))  # fails if one is bad
                assert re.search(r"answers\s+within\s+\d+\s+ms\s+inside\s+TLS", seen), seen
                assert says in " ".join(re.sub("[│|]", " ", seen).split()), seen
            assert worker.terminate() == 0
        assert master.terminate() == 0


def test_threat_14_a_token_is_for_one_node_once_also_after_kill_9(tmp_path: Path) -> None:
    master = authority(tmp_path)
    at = ("--master", f"127.0.0.1:{master.port}")
    with nodes(master):
        word = token(master, "worker1")
        (tmp_path / "worker1").mkdir()
        outrider("join", word, *at, "--home", str(tmp_path / "worker1"))
        master.kill()
        master.start()
        again = outrider("join", word, *at, "--home", str(tmp_path / "worker1"), fails=True)
        assert "the token has been used already" in again
        other = outrider("ca", "token", "worker2", "--ttl", "1s", "--home", str(master.home)).strip()
        named = ("--home", str(tmp_path / "worker1"), "--set", "node.name=worker1")
        assert "the token is for worker2" in outrider("join", other, *at, *named, fails=True)
        spent = outrider("ca", "token", "worker1", "--home", str(master.home), fails=True)
        assert "worker1 has a certificate that is good" in spent
        assert "this is no token" in outrider("join", word[:-9], *at, "--home", str(tmp_path / "worker1"), fails=True)


def test_threat_08_what_is_no_tls_1_3_of_the_authority_is_refused_and_the_log_says_which(tmp_path: Path) -> None:
    master = authority(tmp_path)
    stranger = authority(tmp_path / "elsewhere")
    with nodes(master):
        worker = joined(master, "worker1")
        with socket.create_connection(("127.0.0.1", master.port), timeout=30) as sock:
            sock.sendall(b"\0\0\0\1\0\0\0\0hello ------")
            with contextlib.suppress(ConnectionError):
                assert sock.recv(1) == b""
        wait_until(lambda: master.said("came to nothing: .*it sends something else than TLS") == 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        refused = (ssl.SSLError, ConnectionError)
        with socket.create_connection(("127.0.0.1", master.port), timeout=30) as sock, pytest.raises(refused):
            old.wrap_socket(sock)
        wait_until(lambda: master.said("came to nothing: .*it offers no TLS 1.3") == 1)
        identity = worker.home / ".outrider/identity"
        outrider("ca", "issue", "worker1", "--home", str(stranger.home), "--out", str(tmp_path / "issued"))
        (identity / "node.pem").write_bytes((tmp_path / "issued/node.pem").read_bytes())
        (identity / "trust.pem").write_bytes((tmp_path / "issued/trust.pem").read_bytes())
        with nodes(worker):
            wait_until(lambda: worker.said("this node refuses the peer's TLS: .*of no authority") > 0)
            wait_until(lambda: master.said("came to nothing: the peer ") > 0)


@pytest.mark.parametrize("tls", ["ca", "required"])
def test_threat_14_a_revoked_worker_is_out_within_5_s_and_a_new_token_lets_it_in(
    tmp_path: Path, record_property: Callable[[str, object], None], tls: str
) -> None:
    """How long it took is told (``docs/reliability.md``); a simulation holds it to 5 s."""
    master = authority(tmp_path, tls)
    with nodes(master):
        worker = joined(master, "worker1", tls=tls)
        with nodes(worker):
            wait_until(lambda: worker.said("added this node") == 1, "the worker")
            outrider("ca", "revoke", "worker1", "--home", str(master.home))
            revoked = time.monotonic()
            wait_until(lambda: master.said("worker1 is cut off: its certificate has been revoked") > 0, "the cut")
            record_property("cut_off_s", round(time.monotonic() - revoked, 2))
            wait_until(lambda: worker.said("of this node: its certificate has been revoked.*trying again every") > 0)
            told = json.loads(outrider("status", "--json", "--home", str(worker.home)))
            assert told["status"]["retries"]["the link to the master"]["nature"] == "permanent"
            assert worker.said("added this node") == 1
            at = f"127.0.0.1:{master.port}"
            outrider("join", token(master, "worker1"), "--master", at, "--home", str(worker.home))
            wait_until(lambda: worker.said("added this node") == 2, "the worker to be back, without a restart")


@pytest.mark.parametrize("tls", ["ca", "required"])
def test_threat_14_a_master_that_is_revoked_loses_its_workers_within_5_s_until_it_has_another_certificate(
    tmp_path: Path, record_property: Callable[[str, object], None], tls: str
) -> None:
    """How long it took is told (``docs/reliability.md``); a simulation holds it to 5 s."""
    master = authority(tmp_path, tls)
    with nodes(master):
        worker = joined(master, "worker1", tls=tls)
        with nodes(worker):
            wait_until(lambda: worker.said("added this node") == 1, "the worker")
            outrider("ca", "revoke", "master-node", "--home", str(master.home))
            revoked = time.monotonic()
            cut = "the link to master-node is cut: its certificate has been revoked"
            wait_until(lambda: worker.said(cut) == 1, "the cut")
            record_property("cut_off_s", round(time.monotonic() - revoked, 2))
            wait_until(lambda: worker.said("this node refuses .*: its certificate has been revoked") > 0, "the refusal")
            assert worker.said("added this node") == 1
            told = json.loads(outrider("status", "--json", "--home", str(worker.home)))
            assert told["status"]["retries"]["the link to the master"]["nature"] == "the peer's fault"
            new = ("--out", str(tmp_path / "new"), "--home", str(master.home))
            outrider("ca", "issue", "master-node", "--role", "master", *new)
            (tmp_path / "new/node.pem").rename(master.home / ".outrider/identity/node.pem")
            worker.kill()
            worker.start()
            wait_until(lambda: worker.said("added this node") == 2, "the worker, once its master is good again")


@pytest.mark.parametrize("tls", ["ca", "required"])
def test_threat_14_who_is_revoked_while_it_takes_its_time_over_tls_gets_no_link(tmp_path: Path, tls: str) -> None:
    """OpenSSL read the list of the revoked when TLS began."""
    master = authority(tmp_path, tls, deadline_s=60)
    greeted, held, go = threading.Event(), threading.Event(), threading.Event()

    def slowly(data: bytes, _: int) -> bytes:
        if greeted.is_set():
            held.set()
            go.wait(60)
        elif b"\x16\x03\x01" in data:  # a client's greeting; its certificate comes next
            greeted.set()
        return data

    with nodes(master):
        middle = Middle(master.port)
        middle.meddle = slowly
        worker = joined(master, "worker1", port=middle.port, tls=tls)
        with middle.open(), nodes(worker):
            try:
                assert held.wait(30)
                outrider("ca", "revoke", "worker1", "--home", str(master.home))
                wait_until(lambda: master.said("whom it trusts, has changed") > 0, "the master to see it")
            finally:
                go.set()
            refused = "is refused: the peer is not worker1: its certificate has been revoked|came to nothing: .*revoked"
            wait_until(lambda: master.said(refused) > 0, "the refusal")
            wait_until(lambda: worker.said("again in") > 1, "the worker to try again")
            assert worker.said(EXTENDED) == master.said("the link to worker1 is extended") == 0


@pytest.mark.parametrize("tls", ["ca", "required"])
def test_threat_14_a_master_that_is_revoked_while_tls_is_made_gets_no_worker(tmp_path: Path, tls: str) -> None:
    master = authority(tmp_path, tls, deadline_s=60)

    def wait_after_the_greeting(data: bytes, _: int) -> bytes:
        if b"\x16\x03\x01" in data and not middle.held.is_set():
            middle.room = 0
        return data

    with nodes(master):
        middle = Middle(master.port)
        middle.meddle = wait_after_the_greeting
        worker = joined(master, "worker1", port=middle.port, tls=tls)
        with middle.open(), nodes(worker):
            assert middle.held.wait(30)
            outrider("ca", "revoke", "master-node", "--home", str(master.home))
            install_trust(worker.home, (master.home / ".outrider/ca/trust.pem").read_text())
            wait_until(lambda: worker.said("whom it trusts, has changed") > 0, "the worker to see it")
            middle.go_on()
            wait_until(lambda: worker.said("this node refuses the master: its certificate has been revoked") > 0)
            assert worker.said(EXTENDED) == 0


def test_threat_10_a_master_whose_list_is_lost_takes_nobody_by_the_key_alone_and_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    master = authority(tmp_path, "ca")
    lost, kept = master.home / ".outrider/ca/trust.pem", tmp_path / "kept.pem"
    with nodes(master):
        worker = joined(master, "worker1", tls="ca")
        stranger = Node("worker", tmp_path / "worker2", port=master.port, link={"tls": "any"})  # it has the key alone
        with nodes(worker):
            wait_until(lambda: worker.said(EXTENDED) == 1, "the worker")
            lost.rename(kept)
            wait_until(lambda: master.said("trust.pem is gone: restore it from a copy") == 1, "the master to see it")
            with nodes(stranger):
                wait_until(lambda: master.said("worker2 disconnected: TLS cannot be made") > 0, "the master's refusal")
                assert stranger.said("added this node") == 0
                master.write("a", b"one")
                wait_until(lambda: worker.tree() == {"tree/a": b"one"}, "the file over the link that stands")
                assert stranger.tree() == {}
            kept.rename(lost)
            outrider("ca", "revoke", "worker1", "--home", str(master.home))
            wait_until(lambda: master.said("worker1 is cut off: its certificate has been revoked") > 0, "the end")
            assert master.said("Traceback") == 0


def test_threat_17_a_worker_takes_over_its_half_open_session(tmp_path: Path) -> None:
    master = authority(tmp_path)
    with nodes(master):
        gap = HalfOpen(master.port)
        with gap.open():
            worker = joined(master, "worker1", port=gap.port)
            with nodes(worker):
                wait_until(lambda: worker.said("added this node") == 1, "the worker")
                gap.lose()  # the worker's end is reset, the master's end stays open and hears nothing
                wait_until(lambda: master.said("worker1 has come back and proved it: its old connection is cut") == 1)
                wait_until(lambda: worker.said("added this node") == 2, "the worker to be back")
                assert worker.said("3028") == 0
                master.write("a", b"two")
                wait_until(lambda: worker.tree() == {"tree/a": b"two"}, "the file to arrive")


def test_an_authority_is_replaced_under_running_nodes(tmp_path: Path) -> None:
    master = authority(tmp_path)
    with nodes(master):
        worker = joined(master, "worker1")
        with nodes(worker):
            wait_until(lambda: worker.said("added this node") == 1, "the worker")
            first = re.search("[0-9a-f]{64}", outrider("ca", "list", "--json", "--home", str(master.home)))
            said = outrider("ca", "rotate", "--home", str(master.home))
            new = re.search("[0-9a-f]{64}", said)
            assert first is not None
            assert new is not None
            assert first[0] != new[0]
            wait_until(lambda: worker.said("this node has its next certificate") == 1, "the next certificate")
            outrider("ca", "rotate", "--finish", "--home", str(master.home))
            wait_until(lambda: master.said("the old authority is dropped") == 1, "the end of the old one")
            master.write("a", b"after")
            wait_until(lambda: worker.tree() == {"tree/a": b"after"}, "the file to arrive")
            trust = worker.home / ".outrider/identity/trust.pem"
            wait_until(lambda: trust.read_text().count("BEGIN CERTIFICATE") == 1, "the worker to drop it as well")


def test_threat_13_an_authority_is_replaced_while_the_master_is_killed_and_a_worker_is_away(tmp_path: Path) -> None:
    master = authority(tmp_path)
    with nodes(master):
        worker, away = joined(master, "worker1"), joined(master, "worker2")
        with nodes(worker):
            wait_until(lambda: worker.said("added this node") == 1, "the worker")
            outrider("ca", "rotate", "--home", str(master.home))
            for _ in range(3):
                master.kill()
                master.start()
            wait_until(lambda: worker.said("this node has its next certificate") > 0, "the worker's next one")
            with nodes(away):
                wait_until(lambda: away.said("this node has its next certificate") == 1, "that of who was away")
            outrider("ca", "rotate", "--finish", "--home", str(master.home))
            for _ in range(3):
                master.kill()
                master.start()
            trusted = master.home / ".outrider/ca/trust.pem"
            wait_until(lambda: trusted.read_text().count("BEGIN CERTIFICATE") == 1, "the end of the old one")
            master.write("a", b"after")
            with nodes(away):
                wait_until(lambda: worker.tree() == away.tree() == {"tree/a": b"after"}, "the file to arrive at both")
            assert master.said("Traceback") == worker.said("Traceback") == away.said("Traceback") == 0
