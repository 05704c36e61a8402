"""Commands that take long, at a real terminal and without one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.processes import wait_until
from tests.support.terminal import COMMAND, AtTerminal, hear_ctrl_c

from outrider._native import FileRule, FilesTable, Generations, Tree
from outrider.protocol.joining import Token

TABLE = ("--set", 'tree.files=[{folder = "etc/rules/"}]')
CONTENT = b"<group/>\n"
INTERRUPTED = "outrider: interrupted: nothing was changed [OUT-1907]\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A master's home after its first generation; one of its two files goes on for a terabyte, a hole on the disk."""
    (tmp_path / "etc/rules").mkdir(parents=True)
    for name in ("a.xml", "b.xml"):
        (tmp_path / "etc/rules" / name).write_bytes(CONTENT)
    tree = Tree(str(tmp_path), FilesTable([FileRule("etc/rules/")]))
    Generations(str(tmp_path), count=2, max_bytes=1 << 20, lineage=bytes(16)).add(tree, tree.scan().manifest, 1.0)
    with (tmp_path / "etc/rules/a.xml").open("r+b") as hole:
        hole.truncate(1 << 40)
    return tmp_path


def test_verify_counts_files_and_bytes_and_leaves_no_line(home: Path) -> None:
    with AtTerminal("verify", home, *TABLE) as verify:
        verify.until(" of 2 files, ")
        verify.until(" GB read")
        os.truncate(home / "etc/rules/a.xml", len(CONTENT))
        code, told = verify.ended()
    assert f"reading {home}" in verify.seen
    assert verify.last == ""
    assert (code, told[:38]) == (0, "the same 2 files as in generation 1, r")


def test_ctrl_c_ends_verify_with_one_line(home: Path) -> None:
    with AtTerminal("verify", home, *TABLE) as verify:
        verify.until(" GB read")
        verify.ctrl_c()
        assert verify.ended() == (130, "")
    assert verify.last == INTERRUPTED
    assert "Traceback" not in verify.seen


def test_without_a_terminal_and_for_a_program_nothing_is_drawn(home: Path) -> None:
    command = [*COMMAND, "verify", str(home), *TABLE]
    environment = {"LANG": "C.UTF-8", "FORCE_COLOR": "1"}
    with (
        subprocess.Popen(
            command,
            stdout=-1,
            stderr=-1,
            text=True,
            env=environment,
            preexec_fn=hear_ctrl_c,  # noqa: PLW1509  (one thread, and one system call)
        ) as piped,
        AtTerminal("verify", home, *TABLE, "--json") as program,
        AtTerminal("verify", home, *TABLE) as person,
    ):
        person.until(" GB read")  # the others began before, and would have drawn as well
        piped.send_signal(signal.SIGINT)
        assert piped.communicate() == ("", INTERRUPTED)
        program.ctrl_c()
        assert program.ended() == (130, "")
    (line,) = program.seen.replace("^C", "").splitlines()
    assert json.loads(line)["errors"][0]["code"] == "OUT-1907"


@contextlib.contextmanager
def silent(kind: int, address: object) -> Iterator[socket.socket]:
    """Somebody who lets everybody in, and says nothing."""
    with socket.socket(kind, socket.SOCK_STREAM) as door:
        door.bind(address)  # type: ignore[arg-type]
        door.listen()
        kept: list[socket.socket] = []

        def let_in() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(door.accept()[0])

        thread = threading.Thread(target=let_in)
        thread.start()
        try:
            yield door
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in kept:
                one.close()


@pytest.mark.parametrize(
    ("words", "waits", "left"),
    [
        (["nodes"], "waiting for the node of {home}, 200 s at most", "nothing was changed"),
        (
            ["call", "outrider.node", "--all", "--timeout", "3600"],
            "waiting for outrider.node at every node, 3600 s at most",
            "nobody waits for the answer any more; a call that changes something may still do it",
        ),
        (
            ["generations", "rollback", "7"],
            "waiting for the tree of generation 7, 200 s at most",
            "the master may go on with it; `outrider generations list` marks the tree that it has",
        ),
        (["doctor"], "asking the node", "nothing was changed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_who_waits_for_a_node_sees_for_what_and_may_end_it(
    tmp_path: Path, words: list[str], waits: str, left: str
) -> None:
    place = tmp_path / "queue/cluster/c-internal.sock"
    place.parent.mkdir(parents=True)
    with silent(socket.AF_UNIX, str(place)), AtTerminal(*words, "--home", tmp_path) as command:
        command.until(waits.format(home=tmp_path))
        command.until("0:00:01")
        command.ctrl_c()
        assert command.ended() == (130, "")
    assert command.last == f"outrider: interrupted: {left} [OUT-1907]\n"


def test_who_joins_sees_which_master_does_not_answer(tmp_path: Path) -> None:
    token = Token("worker1", "id", "secret", ("0" * 64,)).encode()
    with silent(socket.AF_INET, ("127.0.0.1", 0)) as door:
        where = f"127.0.0.1:{door.getsockname()[1]}"
        with AtTerminal("join", token, "--master", where, "--home", tmp_path) as command:
            command.until(f"waiting for the master at {where}")
            command.ctrl_c()
            assert command.ended() == (130, "")
    assert command.last.startswith(
        f"outrider: interrupted: {tmp_path} is as it was; if `outrider ca list` names worker1"
    )


def test_ctrl_c_ends_a_demo_and_all_its_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with AtTerminal("demo", "--files", "50") as demo:
        wait_until(lambda: any(tmp_path.glob("outrider-demo-*/worker2/.outrider/lock")), "the demo's last node")
        demo.ctrl_c()
        code, _ = demo.ended()
    assert (code, demo.last.removeprefix("^C")) == (
        130,
        "outrider: interrupted: the demo's nodes have ended, and their folder is removed [OUT-1907]\n",
    )
    assert not list(tmp_path.iterdir())
