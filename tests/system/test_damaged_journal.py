"""A worker starts on a journal that cannot be read: it says so, goes on, and comes in step (threats 40)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

import pytest
from tests.support.processes import Node, free_port, nodes, wait_until

STEPS = {"number": 7, "mounts": [""], "steps": [["t", 0, "tree/a", 0, 0]]}


def signed(plan: object) -> bytes:
    text = json.dumps(plan).encode()
    return hashlib.blake2b(text).hexdigest().encode() + b"\n" + text


DAMAGE = {
    "empty": b"",
    "cut short": signed(STEPS)[:-20],
    "random bytes": Random(1).randbytes(5_000),
    "another digest": b"0" * 128 + signed(STEPS)[128:],
    "another version": signed({"format": 2, **STEPS, "steps": {"put": ["tree/a"]}}),
    "an unknown step": signed({**STEPS, "steps": [["z", 0, "tree/a", 0, 0]]}),
}


@pytest.mark.parametrize("name", ["journal", "journal.undo"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_threat_40_a_worker_with_a_damaged_journal_starts_and_comes_in_step(
    tmp_path: Path, damage: bytes, name: str
) -> None:
    port = free_port()
    master, worker = (Node(role, tmp_path / role, port=port) for role in ("master", "worker"))
    master.write("a", b"new")
    worker.write("b", b"of another version")
    own = worker.home / ".outrider"
    (own / "stage/7").mkdir(parents=True)
    (own / "stage/7/0").write_bytes(b"replaced")
    (own / name).write_bytes(damage)
    with nodes(worker):
        wait_until(lambda: worker.said("cannot reach the master") > 0)
        assert (
            worker.said("WARNING .*an apply that was cut short has been set aside, since its journal is damaged") == 1
        )
        assert (own / "journal.damaged").read_bytes() == damage
        assert (own / "stage/7/0").read_bytes() == b"replaced"
        with nodes(master):
            wait_until(lambda: worker.tree() == master.tree() == {"tree/a": b"new"}, "the sync")
            wait_until(lambda: not (own / "stage/7").exists() and not list((own / "trash").iterdir()), "the sweep")
            assert worker.terminate() == 0
    assert not (own / name).exists()
