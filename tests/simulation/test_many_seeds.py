"""A master and five workers through whatever chance brings (threat 50): every invariant holds, and each can fail.

``OUTRIDER_SEEDS=200`` runs fewer; ``make simulate SEEDS=0..99999`` runs more, and one that failed again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.simulator.campaign import Tally, campaign, load, save, told
from tests.simulator.light import light
from tests.simulator.seeds import run_seed

from outrider.exchange.pending import Pending
from outrider.master.agent_info import WorkerAgentInfo
from outrider.relay.desk import Desk
from outrider.relay.routes import Answer
from outrider.store.outbox import Outbox
from outrider.store.tree import Applied, FileTree
from outrider.sync.generations import Known, taken
from outrider.worker import stepping
from outrider.worker.handler import WorkerHandler

SEEDS = int(os.environ.get("OUTRIDER_SEEDS", "1000"))
FEW = 40


def test_threat_50_no_seed_mixes_a_tree_loses_what_was_acknowledged_or_takes_a_generation_back() -> None:
    tally = Tally()
    for _ in campaign(range(SEEDS), tally):
        pass
    assert tally.seeds == SEEDS
    assert not tally.broken, "\n".join(told(seed, broken) for seed, broken in sorted(tally.broken.items()))


def test_threat_50_one_seed_leaves_one_trace_in_whatever_process_it_runs(tmp_path: Path) -> None:
    elsewhere = {one.seed: one.trace for outcomes in campaign(range(8), Tally(), 2) for one in outcomes}
    with light(tmp_path):
        here = {seed: run_seed(tmp_path, seed).trace for seed in range(8)}
    assert here == elsewhere
    assert len(set(here.values())) == 8


def test_a_campaign_goes_on_where_it_was_interrupted_and_not_once_the_code_is_another(tmp_path: Path) -> None:
    file = tmp_path / "progress" / "0..11.json"
    tally = load(file)
    running = campaign(range(12), tally, 1, chunk=4)
    next(running)
    save(file, tally)
    running.close()
    again = load(file)
    assert again.seeds == 4
    seen = [outcome.seed for outcomes in campaign(range(12), again, 2, chunk=4) for outcome in outcomes]
    assert len(seen) == 8
    assert again.seeds == 12
    save(file, Tally(code="another", seeds=12))
    assert load(file).seeds == 0


# each invariant can fail: the product is broken on purpose


def _broken_within_few(folder: Path) -> str:
    with light(folder):
        return next((broken for seed in range(FEW) if (broken := run_seed(folder, seed).broken)), "")


async def _left_over(tree: FileTree, *args: Any, **more: Any) -> Applied:
    """An apply that leaves one file as it was."""
    folder = Path(tree._home) / "tree"
    before = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    applied = await _apply_bundle(tree, *args, **more)
    for file, content in before.items():
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
            break
    return applied


_apply_bundle = FileTree.apply_bundle


async def _confirmed_unkept(_: WorkerAgentInfo, batch: list[Any], tally: Any) -> None:
    tally.kept += len(batch)


async def _not_put(_: Outbox, __: Any) -> None:
    """What was read is nowhere."""


def _numbered_wrong(before: Known, *, number: int, lineage: str, root: str, at: float) -> Known:
    return _taken(before, number=number // 2, lineage=lineage, root=root, at=at)


_taken = taken


def _run_twice(desk: Desk, caller: str, payload: bytes) -> Pending[Answer]:
    _here(desk, caller, payload)
    return _here(desk, caller, payload)


_here = Desk.here


async def _never_heard_of(_: WorkerHandler) -> None:
    await asyncio.Event().wait()


class Break(NamedTuple):
    """What is put in the place of something of the product, and the invariant that notices."""

    invariant: str
    owner: Any
    name: str
    instead: Callable[..., Any]


BREAKS = [
    Break("mixed tree", FileTree, "apply_bundle", _left_over),
    Break("lost acknowledgement", WorkerAgentInfo, "_keep_batch", _confirmed_unkept),
    Break("lost acknowledgement", Outbox, "put", _not_put),
    Break("generations only grow", stepping, "taken", _numbered_wrong),
    Break("requests", Desk, "here", _run_twice),
    Break("no convergence", WorkerHandler, "keep_alive", _never_heard_of),
]


@pytest.mark.parametrize("wrong", BREAKS, ids=[one.instead.__name__ for one in BREAKS])
def test_threat_50_a_product_that_breaks_an_invariant_is_caught_within_few_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Break
) -> None:
    monkeypatch.setattr(wrong.owner, wrong.name, wrong.instead)
    assert wrong.invariant in _broken_within_few(tmp_path)
