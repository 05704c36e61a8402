"""The examples of docs/agents.md do what the page says, between a master and a worker of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, simulate
from tests.support.sqlite_store import full_agent

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")
OFTEN = {
    "intervals.master.agent_group_start_delay": 1,
    "intervals.master.sync_agent_groups": 5,
    "intervals.worker.sync_agent_info": 5,
}


def example(name: str) -> dict[str, Any]:
    """What an example of the page defines."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    defined: dict[str, Any] = {}
    exec(compile(found[1], f"docs/agents.md: {name}", "exec"), defined)
    return defined


def test_a_master_and_a_worker_exchange_agents_and_groups_with_the_store_of_the_page(tmp_path: Path) -> None:
    ours, theirs = example("store")["MyStore"](), example("store")["MyStore"]()
    known = {number: full_agent(number) for number in range(1, 51)}
    theirs.agents, theirs.unsent = dict(known), dict(known)

    async def story(cluster: Cluster) -> None:
        master = await cluster.master(OFTEN, agents=ours)
        worker = cluster.worker("worker1", OFTEN, agents=theirs)
        await cluster.until(lambda: ours.agents == known, within_s=60)
        assert theirs.unsent == {}
        assert [worker.agents] == [theirs]
        await example("change")["to_web"](master)
        await cluster.until(lambda: theirs.groups_of == {7: ("web",)}, within_s=30)
        assert ours.unsent_groups == theirs.unsent_groups == set()
        theirs.groups_of[7] = ("lost",)
        await cluster.until(lambda: theirs.groups_of == {7: ("web",)}, within_s=60)
        await worker.agents.send_all_again()
        ours.agents.clear()
        await cluster.until(lambda: ours.agents == known, within_s=60)

    simulate(tmp_path, story)


def test_the_example_is_short() -> None:
    found = re.search(r"class MyStore:\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    assert len([line for line in found[1].splitlines() if line]) <= 32
