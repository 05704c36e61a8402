"""The disk fails, or the node dies, at system calls of real processes: a sample of what ``make faults`` tries in full.

``OUTRIDER_SEED`` chooses the sample; a failure names the command that tries its point again.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.catalogue import SCENARIOS
from tests.faults.history import Reading, opened
from tests.faults.scenario import Scenario
from tests.faults.strace import KILL, STRACE, SYNCS, Point, Strace
from tests.faults.trees import BESIDE, OLD, TABLE, Container, leftovers, version

from outrider._native import Tree, diff
from outrider.errors import OutriderError

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace is not installed; .ci/run installs it")
SEED = int(os.environ.get("OUTRIDER_SEED", "6"))
STORES = ("generations", "generations-gathered", "small-files")
KILLS, REFUSALS = 6, 6
"""Points of each scenario, beside all its syncs."""


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, list[Point]]:
    made = SCENARIOS[request.param](tmp_path_factory.mktemp("faults") / request.param)
    made.learn()
    return made, made.points()


def tried(
    scenario: tuple[Scenario, list[Point]], wanted: Callable[[Point], bool], most: int | None = None
) -> Counter[str]:
    made, points = scenario
    points = [point for point in points if wanted(point)]
    chosen = points if most is None else random.Random(SEED).sample(points, min(most, len(points)))
    outcomes = Counter[str]()
    for point in chosen:
        try:
            outcomes[made.try_at(point)] += 1
        except AssertionError as error:
            pytest.fail(f"{error}\nagain: python -m tests.faults {made.name} --at {point}")
    print(f"seed {SEED}: {made.name}, {len(chosen)} of {len(points)} points: {dict(outcomes)}")  # noqa: T201
    return outcomes


def test_threat_32_killed_at_any_call_each_state_is_whole_at_the_next_start(
    scenario: tuple[Scenario, list[Point]],
) -> None:
    outcomes = tried(scenario, lambda point: point.fault == KILL, KILLS)
    assert outcomes.total() > outcomes["not reached"]


def test_threat_33_refused_at_any_call_nothing_told_is_lost_and_space_is_freed(
    scenario: tuple[Scenario, list[Point]],
) -> None:
    outcomes = tried(scenario, lambda point: point.fault != KILL, REFUSALS)
    assert outcomes.total() > outcomes["not reached"]


def test_threat_34_what_a_sync_refused_once_is_not_told_as_done(scenario: tuple[Scenario, list[Point]]) -> None:
    tried(scenario, lambda point: point.call in SYNCS and point.fault == "EIO")


def test_threat_34_a_tree_that_is_not_known_to_be_durable_is_not_activated(tmp_path: Path) -> None:
    made = Container(tmp_path / "a")
    made.learn()
    syncs = [point for point in made.points() if point.call in SYNCS and point.fault == "EIO"]
    assert {point.call for point in syncs} == {"syncfs", "fsync"}
    for point in syncs:
        made.fresh()
        outcome = made.strace.run(point)
        assert (list(outcome.failed), version(made.home)) == (["apply"], "old"), str(point)


def test_threat_34_nothing_takes_its_place_or_is_told_as_done_before_it_is_durable(
    scenario: tuple[Scenario, list[Point]],
) -> None:
    made, _ = scenario
    if made.name in {"outbox", "agents"}:
        pytest.skip("when SQLite syncs its log is its own matter")
    assert made.losses() == []


@pytest.mark.parametrize("name", ["apply", "apply-bundle", "rollback", "recover", *STORES])
def test_threat_34_without_any_one_of_its_syncs_something_could_be_lost(name: str, tmp_path: Path) -> None:
    made = SCENARIOS[name](tmp_path / name)
    made.learn()
    syncs = [point for point in made.points() if point.call in SYNCS and point.fault == KILL]
    assert syncs
    for point in syncs:
        assert made.losses("-e", f"inject={point.call}:retval=0:when={point.number}"), f"{point.call} {point.number}"


def test_threat_40_a_generation_that_cannot_be_opened_now_is_there_when_it_can_be(tmp_path: Path) -> None:
    made = Reading(tmp_path / "a")
    made.fresh()
    strace = Strace(Reading.name, made.home)
    strace.learn([".outrider/generations"])
    opens = re.findall(r'openat\(\d+, "([^"]+)"', strace.run().calls)
    first = opens.index("1.generation") + 1
    outcome = strace.run(None, "-e", f"inject=openat:error=EMFILE:when={first}..{first + 3}")  # each is tried twice
    assert outcome.calls.count("(INJECTED)") == 4
    assert outcome.done == ("open",)
    store = opened(made.home)
    assert [one.number for one in store.list()] == [1, 2]
    assert all(store.manifest(number) is not None for number in (1, 2))


def test_threat_40_a_half_done_apply_whose_journal_is_damaged_loses_nothing_and_the_next_one_mends_it(
    tmp_path: Path,
) -> None:
    made = Container(tmp_path / "a")
    made.learn()
    made.fresh()
    made.strace.run(Point("renameat2", 5, KILL))
    assert version(made.home).startswith("a mix")
    journal = made.home / ".outrider/journal"
    journal.write_bytes(journal.read_bytes()[:-1])
    tree = Tree(str(made.home), TABLE)
    assert str(tree.recover()).startswith("set aside, since its journal is damaged (its digest does not match")
    assert version(made.home).startswith("a mix")
    everything = [path for path in made.home.rglob("*") if path.is_file() and path.name != "journal.damaged"]
    assert {path.read_text() for path in everything} >= set(OLD.values())
    master = Tree(str(made.folder / "new"), TABLE)
    packer = master.pack(diff(master.scan().manifest, tree.scan().manifest, TABLE))
    mending = made.folder / "mending"
    mending.write_bytes(packer.read(1 << 20))
    tree.apply(str(mending))
    assert version(made.home) == "new"
    assert tree.sweep() == 2
    assert tree.recover() is None


def test_an_error_names_the_cause_and_says_what_became_of_the_tree(tmp_path: Path) -> None:
    made = Container(tmp_path / "a")
    made.learn()
    made.fresh()
    said = made.strace.run(Point("renameat2", 3, "ENOSPC")).failed["apply"]
    assert "No space left on device" in said
    assert "the tree was put back as it was" in said
    assert leftovers(made.home) == []
    shutil.rmtree(made.home / ".outrider")
    (made.home / ".outrider").write_text("in the way")
    with pytest.raises(OutriderError, match=r"cannot make .*\.outrider"):
        Tree(str(made.home), TABLE).apply(str(made.folder / BESIDE / "container"))
