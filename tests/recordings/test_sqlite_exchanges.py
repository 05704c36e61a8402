"""The cluster's requests in the recording of a wazuh-db, made to the embedded store: same request, same meaning."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from tests.recordings.sqlite_replay import Answer, Replay
from tests.recordings.vectors import VECTORS
from tests.support.sqlite_store import with_store

from outrider.model import AgentInfo, GroupAssignment
from outrider.protocol.agents import decode_agents
from outrider.store.agents import GroupsQuery
from outrider.store.sqlite import SqliteStore
from outrider.store.sqlite.parts import Limits

Row = dict[str, Any]
THE_CLUSTER_S = 84
COMPARED = {"cluster": THE_CLUSTER_S, "agents": 704, "groups": 2012, "edits": 1559, "looks": 23}
"""So that no row is passed over in silence: requests, agents and assignments in answers, edits, looks of others."""
STUCK = (253, 254)
"""The endless ``due []`` about agent 2, which is larger than one of its answers. Ours hands it out, once."""
HALF_DONE = 95
"""The original kept groups of a call that it had refused; ours does not."""


@cache
def rows() -> list[Row]:
    """The recording, in its order."""
    return [json.loads(line) for line in (VECTORS / "wazuh-db-exchanges.jsonl").read_text("utf-8").splitlines()]


class Comparison:
    """Goes through the recording, and counts what it has compared."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.counts: Counter[str] = Counter()
        self._sent: tuple[list[AgentInfo], list[AgentInfo]] = ([], [])
        self._groups: tuple[dict[int, GroupAssignment], dict[int, GroupAssignment]] = ({}, {})

    async def go(self) -> None:
        for row in rows():
            if row.get("cluster"):
                answer = await self.replay.ask(row["request"])
                self._same(row, answer)
                self.counts["cluster"] += 1
            elif row["request"] and (row.get("response") or "").startswith("ok"):
                for request in requests(row):
                    self.counts["edits"] += await self.replay.edit(request)
                await self._look(row)

    def _same(self, row: Row, answer: Answer) -> None:
        status, _, payload = row["response"].partition(" ")
        assert answer.ok == (status != "err"), row
        if status == "err":
            return
        if "sync-agent-info-get" in row["request"]:
            self._same_agents(row["seq"], status, payload, answer.agents)
        elif "sync-agent-groups-get" in row["request"]:
            self._same_groups(row, status, json.loads(payload)[0], answer)
        else:
            assert payload == ""

    def _same_agents(self, seq: int, status: str, payload: str, ours: Sequence[AgentInfo]) -> None:
        """Answers are cut elsewhere and come in another order of parts: the sum counts once nothing more is to come."""
        if seq in STUCK:
            assert [agent.id for agent in ours] == ([2] if seq == STUCK[0] else [])
            return
        theirs = decode_agents(payload.encode())
        self._sent[0].extend(theirs)
        self._sent[1].extend(map(_without_no_labels, ours))
        if status == "ok" and not theirs:
            recorded, sent = map(_by_agent, self._sent)
            assert sent == recorded
            self.counts["agents"] += len(self._sent[0])
            self._sent = [], []

    def _same_groups(self, row: Row, status: str, theirs: dict[str, Any], ours: Answer) -> None:
        recorded, sent = self._groups
        recorded |= {each.id: each for each in msgspec.convert(theirs["data"], list[GroupAssignment])}
        sent |= {each.id: each for each in ours.groups}
        if status == "ok":
            assert sent == recorded, row["seq"]
            assert ours.hash == theirs.get("hash"), row["seq"]
            self.counts["groups"] += len(recorded)
            self._groups = {}, {}

    async def _look(self, row: Row) -> None:
        """What other programs saw of the state between."""
        words = row["request"].split()
        payload = row["response"].partition(" ")[2]
        if words[1:2] == ["select-group-belong"] and row["seq"] != HALF_DONE:
            known = await self.replay.store.agent(int(words[2]))
            assert list(known.groups if known else ()) == json.loads(payload), row["seq"]
        elif words[1:2] == ["select-agent-name"]:
            known = await self.replay.store.agent(int(words[2]))
            assert [known.info.name for known in [known] if known and known.info] == [
                each["name"] for each in json.loads(payload)
            ]
        elif words[1:2] == ["get-labels"]:
            known = await self.replay.store.agent(int(words[2]))
            assert known
            assert known.info
            assert msgspec.to_builtins(list(known.info.labels or ())) == json.loads(payload), row["seq"]
        elif row["request"].endswith("group_sync_status='syncreq'"):
            unsent = [known.id for known in await self.replay.everyone() if known.groups_unsent]
            assert len(unsent) == json.loads(payload)[0]["n"]
        else:
            return
        self.counts["looks"] += 1


@pytest.mark.parametrize("limits", [Limits(), Limits(rows=7), Limits(bytes=65_024)], ids=["large", "tiny", "theirs"])
def test_the_cluster_s_requests_have_the_same_meaning(tmp_path: Path, limits: Limits) -> None:
    replay = Replay()

    async def story(store: SqliteStore) -> Comparison:
        replay.store = store
        comparison = Comparison(replay)
        await comparison.go()
        assert (await store.changed_agents()).agents == []
        assert (await store.groups(GroupsQuery("all"))).assignments
        return comparison

    comparison = with_store(tmp_path, story, unknown="wazuh", wall=lambda: replay.now, limits=limits)
    assert sum(1 for row in rows() if row.get("cluster")) == THE_CLUSTER_S
    assert comparison.counts == COMPARED


def requests(row: Row) -> list[str]:
    """The requests of a row: one, or one for each id."""
    if not row.get("bulk"):
        return [row["request"]]
    first, last, step = row["ids"]
    template = row["request_template"]
    return [template.replace("@ID4@", f"{n:04}").replace("@ID@", str(n)) for n in range(first, last + 1, step)]


def _by_agent(agents: Sequence[AgentInfo]) -> dict[int, list[AgentInfo]]:
    """What was handed out of each agent, in its order."""
    found = defaultdict(list)
    for agent in agents:
        found[agent.id].append(agent)
    return dict(found)


def _without_no_labels(agent: AgentInfo) -> AgentInfo:
    """The original is silent about labels where there are none; ours says so, else their removal would never travel."""
    return agent if agent.labels else structs.replace(agent, labels=None)
