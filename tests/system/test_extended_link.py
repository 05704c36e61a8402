"""Real nodes with somebody between them, who keeps what he hears, says it again, and changes what he likes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.support.middle import Middle
from tests.support.processes import Node, free_port, nodes, wait_until

HEADER = struct.Struct("!2I12s")
EXTENDED = "the link is extended: TLS 1.3"


def pair(folder: Path) -> tuple[Node, Node, Middle]:
    """A master, a worker that reaches it through the middle, and the middle."""
    master = Node("master", folder / "master-node", port=free_port(), handshake_deadline_s=3)
    middle = Middle(master.port)
    return master, Node("worker", folder / "worker1", port=middle.port, handshake_deadline_s=3), middle


def say_again(port: int, captured: bytes, tail: bytes) -> None:
    """Say what was captured in clear, frame by frame as it was answered, then ``tail``, until the other end closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, contextlib.suppress(ConnectionError):
        for start, end in clear_frames(captured):
            sock.sendall(captured[start:end])
            answer = b""
            while len(answer) < HEADER.size or len(answer) < HEADER.size + HEADER.unpack_from(answer)[1]:
                answer += sock.recv(65536)
            assert answer[8:].startswith(b"ok ---------")
        sock.sendall(tail)
        while sock.recv(65536):
            pass


def clear_frames(captured: bytes) -> list[tuple[int, int]]:
    """Where each frame in clear begins and ends: the last is start_tls."""
    frames = [(0, 0)]
    while b"start_tls" not in captured[slice(*frames[-1])]:
        start = frames[-1][1]
        frames.append((start, start + HEADER.size + HEADER.unpack_from(captured, start)[1]))
    return frames[1:]


def test_a_tree_arrives_through_a_middle_that_reads_nothing_of_it(tmp_path: Path) -> None:
    master, worker, middle = pair(tmp_path)
    master.write("a", b"one")
    with middle.open(), nodes(master, worker):
        wait_until(lambda: worker.tree() == {"tree/a": b"one"}, "the file to arrive")
        assert worker.said(EXTENDED) == master.said("the link to worker1 is extended") == 1
        said = bytes(middle.heard[0])
        assert (said.count(b"hello ------"), said.count(b"outrider ---"), said.count(b"start_tls --")) == (1, 1, 1)
        assert b"syn_i_w_m" not in said
        assert worker.terminate() == master.terminate() == 0


def test_threat_09_what_was_captured_is_refused_in_another_session_and_in_one_after_a_restart(tmp_path: Path) -> None:
    master, worker, middle = pair(tmp_path)
    master.write("a", b"one")
    late = "disconnected: .* did not finish the TLS handshake in time"
    with middle.open(), nodes(master, worker):
        wait_until(lambda: worker.tree() == {"tree/a": b"one"}, "the file to arrive")
        wait_until(lambda: worker.said("Finished in") > 1, "a second round")
        captured = bytes(middle.heard[0])
        worker.kill()
        wait_until(lambda: master.said("worker1 disconnected") == 1, "the master to notice")
        served = master.said("peer worker1. .Integrity")
        frames = clear_frames(captured)
        assert len(frames) == 3
        inside = captured[frames[-1][1] :]
        for round_number in range(2):
            say_again(master.port, captured, inside)
            say_again(master.port, captured, captured)
            say_again(master.port, captured, b"")
            wait_until(lambda n=round_number: master.said(late) > n)  # type: ignore[misc]
            master.kill()
            master.start()
        assert master.said("joined from") == 7
        assert master.said("the link to worker1 is extended") == 1
        assert master.said(late) == 2
        # Of the links themselves: what had groups under way says the reason of its end once more.
        assert master.said("disconnected: .*a record was changed on its way, or sent twice") == 2
        assert master.said("disconnected: .*it sends something else than TLS") == 2
        assert master.said("peer worker1. .Integrity") == served
        worker.start()
        wait_until(lambda: worker.said(EXTENDED) == 2, "the worker itself to be let in")


def test_threat_09_what_is_said_twice_within_a_session_ends_it(tmp_path: Path) -> None:
    master, worker, middle = pair(tmp_path)
    with middle.open(), nodes(master, worker):
        wait_until(lambda: worker.said("Finished in") > 0, "a round")
        middle.repeat = True
        wait_until(lambda: master.said("a record was changed on its way, or sent twice") > 0, "the master to notice")
        wait_until(lambda: worker.said(EXTENDED) == 2, "a new link")


def test_threat_10_a_byte_changed_inside_tls_ends_the_link_and_a_new_one_goes_on(tmp_path: Path) -> None:
    master, worker, middle = pair(tmp_path)
    with middle.open(), nodes(master, worker):
        wait_until(lambda: worker.said("Finished in") > 0, "a round")

        def change(data: bytes, _: int) -> bytes:
            middle.meddle = lambda data, _: data
            return data[:-1] + bytes([data[-1] ^ 1])

        middle.meddle = change
        wait_until(lambda: master.said("a record was changed on its way, or sent twice") > 0, "the master to notice")
        master.write("a", b"one")
        wait_until(lambda: worker.tree() == {"tree/a": b"one"}, "the file to arrive over a new link")
        assert worker.said(EXTENDED) == 2


def test_threat_10_a_relabelled_header_makes_no_old_peer_of_a_master_until_somebody_says_so(tmp_path: Path) -> None:
    master, worker, middle = pair(tmp_path)
    with middle.open(), nodes(master, worker):
        wait_until(lambda: worker.said("added this node") == 1, "the link, and the master to be remembered")
        worker.terminate()
        middle.meddle = lambda data, _: data.replace(b"outrider ---", b"outridex ---")
        worker.start()
        wait_until(lambda: worker.said("ERROR .* was seen to speak the extended protocol, and now does not") == 1)
        assert worker.said("added this node") == 1
        listed = outrider("peer", "list", "--json", "--home", str(worker.home))
        (known,) = json.loads(listed)
        assert (known["name"], known["address"]) == ("master-node", f"127.0.0.1:{middle.port}")
        # The master first: the worker comes back as soon as it has forgotten.
        outrider("peer", "forget", "worker1", "--home", str(master.home))
        assert outrider("peer", "forget", "master-node", "--home", str(worker.home)).startswith("forgot the master")
        wait_until(lambda: worker.said("added this node") == 2, "the base protocol")
        worker.terminate()
        worker.start()
        wait_until(lambda: worker.said("added this node") == 3, "the base protocol, also after a restart")
        assert worker.said(EXTENDED) == 1


def outrider(*words: str) -> str:
    """What a command writes."""
    command = [sys.executable, "-m", "outrider", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
