"""Nothing that real nodes write, answer or print shows a part of the cluster key, whoever asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.recordings.peer import Peer
from tests.support.local_clients import like_c
from tests.support.processes import Node, free_port, nodes, wait_until

from outrider.protocol.api import Request

SECRET = "Zq7_kW2xVb9_Lm4RtYp8Sd3FgHj6NcQe"
PREVIOUS = "Xh5Tz_Uo0IaB1wErKvM2yCnDsGfJ9lPi"
_CLEAR, _ENCODED = 8, 9
"""Bytes of a key that are looked for: fewer would be found by chance. Nine are a whole piece of base64."""
COMMANDS = (
    "status",
    "status --json",
    "config show",
    "config show --json",
    "nodes --json",
    "health --json",
    "key status --json",
    "peer list",
    "doctor",
    "call outrider.node --json",
    "call outrider.status --json",
    "call outrider.calls --json",
    "call wazuh.cluster:get_node_wrapper --all --json",
    "call no.such.call",
)


def pieces(key: str) -> Iterator[tuple[str, bytes]]:
    """Every piece of a key, as it may stand in a text: in clear, either way round, as hex, base64 or numbers."""
    raw = key.encode()
    for at in range(len(raw) - _CLEAR + 1):
        piece = raw[at : at + _CLEAR]
        yield "clear", piece
        yield "backwards", piece[::-1]
        yield "hex", piece.hex().encode()
        yield "hex", piece.hex().upper().encode()
        yield "numbers", ",".join(map(str, piece)).encode()
        yield "numbers", ", ".join(map(str, piece)).encode()
    for at in range(len(raw) - _ENCODED + 1):  # one of three neighbours begins where the encoding has a boundary
        encoded = b64encode(raw[at : at + _ENCODED])
        yield "base64", encoded
        yield "base64", encoded.translate(bytes.maketrans(b"+/", b"-_"))


def shown(text: bytes) -> set[str]:
    """In which ways a text shows a part of a key."""
    return {how for key in (SECRET, PREVIOUS) for how, piece in pieces(key) if piece in text}


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_a_key_is_found_in_whatever_way_it_is_shown(before: str) -> None:
    raw = f"{before}{SECRET}".encode()
    assert shown(b"key=" + raw[:12]) >= {"clear"}
    assert shown(b64encode(raw)) == shown(b64encode(raw).rstrip(b"=") + b"'") == {"base64"}
    assert shown(raw.hex().encode()) == shown(raw.hex().upper().encode()) == {"hex"}
    assert shown(json.dumps(list(raw)).encode()) == {"numbers"}
    assert shown(raw[:10][::-1]) == {"backwards"}
    assert shown(b"the key is <hidden>") == set()


def run(node: Node, words: str) -> bytes:
    """All that a command writes, however it ends."""
    where = ("--config", str(node.config), "--home", str(node.home))
    command = [
        sys.executable,
        "-m",
        "outrider",
        *words.split(),
        *(() if words == "peer list" else where[:2]),
        *where[2:],
    ]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    assert b"Traceback" not in done.stderr
    return done.stdout + done.stderr


async def heard_by_an_old_peer(port: int) -> bytes:
    """What a peer with the key, of 4.9.2 by its words, is told when it asks for what it must not have."""
    peer = await Peer.dial(port, SECRET)
    heard = [(await peer.ask("hello", b"old wazuh worker 4.9.2")).payload]
    call = Request(call="wazuh.cluster:get_node_wrapper").encode()
    asked = {"get_config": b"", "get_nodes": b"{}", "get_health": b"{}", "no_such": b"x", "dapi": b"1 " + call}
    for name, payload in asked.items():
        answer = await peer.ask(name, payload)
        heard += [answer.payload, *(part[1] for part in answer.frames)]
    while b"affected_items" not in heard[-1]:  # groups of agents come as a string as well
        peer.answer(await peer.asked("new_str"), "ok", b"answer")
        heard.append((await peer.asked("str_upd")).payload)
    heard += [queue.get_nowait().payload for queue in peer.requests.values() for _ in range(queue.qsize())]
    await peer.close()
    stranger = await Peer.dial(port, "w" * 32)
    stranger.write(1, b"hello ------", stranger.seal(b"old wazuh worker 4.9.2"))
    await asyncio.wait_for(stranger.closed.wait(), 30)
    await stranger.close()
    return b"\n".join(heard)


def http(port: int) -> Iterator[bytes]:
    for path in ("/", "/metrics", "/status", "/healthz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            yield answer.read() + str(answer.headers).encode()


def test_no_part_of_the_key_is_shown_by_real_nodes_to_peers_programs_logs_or_in_a_crash(tmp_path: Path) -> None:
    port, pages = free_port(), (free_port(), free_port())
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n{PREVIOUS}\n")
    file.chmod(0o600)
    web = [{"enabled": True, "port": page} for page in pages]
    inline = {"key": SECRET, "previous_keys": [PREVIOUS]}
    master = Node("master", tmp_path / "head", port=port, key_file=file, http=web[0])
    ours = Node("worker", tmp_path / "w1", port=port, link=inline, http=web[1])
    base = Node("worker", tmp_path / "w2", port=port, link={**inline, "require": "base"}, log={"format": "json"})
    for node in (master, ours, base):
        node.environment = {"PYTHONFAULTHANDLER": "1"}
    master.write("a.conf", b"a")
    texts: dict[str, bytes] = {}
    with nodes(master, ours, base):
        wait_until(lambda: ours.tree() == base.tree() == master.tree(), "the workers to be in step")
        texts["an old peer"] = asyncio.run(heard_by_an_old_peer(port))
        for node in (master, ours, base):
            said = like_c(node.home / "queue/cluster/c-internal.sock", "get_config", b"")
            assert said.json["node_name"] == node.home.name
            texts[f"get_config of {node.home.name}"] = said.payload
        for node in (master, ours):
            texts |= {f"{words} at {node.home.name}": run(node, words) for words in COMMANDS}
        texts |= {f"page {page} {at}": text for page in pages for at, text in enumerate(http(page))}
        file.write_text(f"{SECRET[:-1]}\n{PREVIOUS}?\n")  # a key that is none is not repeated either
        texts["reload"] = run(master, "reload")
        wait_until(lambda: master.said("31 characters where the protocol needs exactly 32") > 0, "the bad key")
        texts["config show, bad key"] = run(master, "config show")
        for node in (master, ours, base):
            os.kill(node.pid, signal.SIGABRT)
            node.wait()
    for node in (master, ours, base):
        assert node.said("Fatal Python error: Aborted") == 1
        texts[f"log of {node.home.name}"] = node.log.read_bytes()
    assert {where: ways for where, text in texts.items() if (ways := shown(text))} == {}
    assert b"unknown command 'b'get_config''" in texts["an old peer"]
