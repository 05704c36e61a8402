"""The embedded store against a few dictionaries that do the same, whatever is done in whatever order."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs
from tests.support.sqlite_store import agent, open_store

from outrider.errors import RecordsRefused, UnknownAgents
from outrider.model import MOST_GROUPS, AgentInfo, GroupAssignment, GroupMode, Label
from outrider.store.agents import GroupsQuery, RegisteredAgent
from outrider.store.sqlite.listing import KnownAgent
from outrider.store.sqlite.parts import Limits

T = TypeVar("T")
IDS = st.integers(1, 6)
NAMES = st.sampled_from(["default", "a", "b", "c", "no good"])
MANY = st.integers(1, 140).map(lambda most: tuple(f"g{number}" for number in range(most)))
GROUPS = st.one_of(NAMES.map(lambda name: (name,)), st.lists(NAMES, max_size=5).map(tuple), MANY)
LABELS = st.one_of(st.none(), st.just(()), st.integers(0, 9).map(lambda value: (Label(0, "k", str(value)),)))


@st.composite
def infos(draw: st.DrawFn) -> AgentInfo:
    """An agent with some columns, some that nobody knows, and labels or none or silence about them."""
    number = draw(IDS)
    labels = draw(LABELS)
    return agent(
        number,
        name=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
        last_keepalive=draw(st.integers(0, 3)),
        labels=labels and tuple(structs.replace(label, id=number) for label in labels),
        other=draw(st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 2), max_size=1)),
    )


class StoreAgainstModel(RuleBasedStateMachine):
    """Every rule does the same to both; the invariants compare what there is."""

    @initialize(add=st.booleans(), rows=st.integers(1, 4))
    def begin(self, add: bool, rows: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.add = add
        self.now = 100
        self.store = open_store(
            Path(self.folder.name),
            unknown="add" if add else "wazuh",
            limits=Limits(rows=rows),
            wall=lambda: self.now,
        )
        self.agents: dict[int, AgentInfo | None] = {}
        self.registered: dict[int, int] = {}
        self.unsent: set[int] = set()
        self.groups: dict[int, tuple[str, ...]] = {}
        self.unsent_groups: set[int] = set()
        self.known_groups: set[str] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.loop.close()
            self.folder.cleanup()

    @rule(batch=st.lists(infos(), max_size=4))
    def put(self, batch: list[AgentInfo]) -> None:
        self.run(self.store.put(batch))
        for each in batch:
            self._keep(each)
            self.unsent.add(each.id)

    @rule(batch=st.lists(infos(), max_size=4))
    def store_agents(self, batch: list[AgentInfo]) -> None:
        lost = [each.id for each in batch if not self.add and self.agents.get(each.id) is None and each.labels]
        with pytest.raises(UnknownAgents) if lost else nullcontext():
            self.run(self.store.store_agents(batch))
        for each in batch:
            if self.add or self.agents.get(each.id):
                self._keep(each)
            self.unsent.discard(each.id)

    @rule(batch=st.lists(IDS, unique=True, max_size=4), name=st.sampled_from(["one", "two"]))
    def register(self, batch: list[int], name: str) -> None:
        self.run(self.store.register([RegisteredAgent(number, name, "any") for number in batch]))
        for number in batch:
            known = self.agents.get(number) or agent(number, connection_status="never_connected")
            self.agents[number] = structs.replace(known, name=name)
            self.registered.setdefault(number, self.now)

    @rule(number=IDS)
    def remove(self, number: int) -> None:
        there_was = number in self.agents
        assert self.run(self.store.remove([number])) == there_was
        self.agents.pop(number, None)
        self.registered.pop(number, None)
        self.groups.pop(number, None)
        self.unsent.discard(number)
        self.unsent_groups.discard(number)

    @rule(keep=IDS, meanwhile=st.lists(infos(), max_size=2))
    def take_but_one(self, keep: int, meanwhile: list[AgentInfo]) -> None:
        part = self.run(self.store.changed_agents())
        ids = [each.id for each in part.agents]
        assert ids == sorted(self.unsent)[: len(ids)]
        assert part.more == (len(ids) < len(self.unsent))
        assert all(each == self.agents[each.id] for each in part.agents)
        self.put(meanwhile)
        taken = [each for each in part.agents if each.id != keep]
        self.run(self.store.taken(taken))
        self.unsent -= {each.id for each in taken} - {each.id for each in meanwhile}

    @rule()
    def send_all_again(self) -> None:
        self.run(self.store.send_all_again())
        self.unsent |= {
            number for number, known in self.agents.items() if known and known.connection_status != "never_connected"
        }

    @rule(name=st.sampled_from(["default", "a", "b"]))
    def add_group(self, name: str) -> None:
        self.run(self.store.add_groups([name]))
        self.known_groups.add(name)

    @rule(name=NAMES, number=IDS)
    def remove_group(self, name: str, number: int) -> None:
        self.set_groups([GroupAssignment(number, (name,))], "override", "synced")
        assert self.run(self.store.remove_group(name)) == (name in self.known_groups)
        self.known_groups.discard(name)
        for member, names in self.groups.items():
            if name in names:
                left = tuple(each for each in names if each != name)
                self.groups[member] = left or (() if name == "default" else ("default",))
                self.unsent_groups.add(member)
                self.known_groups.update(self.groups[member])

    @rule(
        batch=st.lists(st.builds(GroupAssignment, IDS, GROUPS), max_size=6),
        mode=st.sampled_from(["override", "append", "empty_only", "remove"]),
        status=st.sampled_from(["synced", "syncreq"]),
    )
    def set_groups(self, batch: list[GroupAssignment], mode: GroupMode, status: Any) -> None:
        refused = False
        usable = set(self.known_groups)
        if self.add:
            usable |= {name for each in batch for name in each.groups if " " not in name} | {"default"}
        for each in batch:
            if self.add:
                self.agents.setdefault(each.id, None)
                self.registered.setdefault(each.id, self.now)
            elif each.id not in self.agents:
                refused = True
                continue
            refused |= self._assign(each, mode, status, usable)
        with pytest.raises(RecordsRefused) if refused else nullcontext():
            self.run(self.store.set_groups(batch, mode, status))
        if self.add:
            self.known_groups |= {name for each in batch for name in self.groups.get(each.id, ())}

    def _assign(self, told: GroupAssignment, mode: GroupMode, status: str, usable: set[str]) -> bool:
        """The slow and plain way; whether something was refused."""
        groups = list(self.groups.get(told.id, ())) if mode != "override" else []
        if mode == "empty_only" and groups:
            return False
        refused = False
        for name in told.groups:
            if name not in usable:
                refused = True
            elif mode == "remove":
                groups = [each for each in groups if each != name]
            elif len([each for each in groups if each != name]) == MOST_GROUPS:
                refused = True
            else:
                groups = [*(each for each in groups if each != name), name]
        if mode == "remove" and told.groups and not groups and "default" in usable:
            groups = ["default"]
        self.groups[told.id] = tuple(groups)
        (self.unsent_groups.add if status == "syncreq" else self.unsent_groups.discard)(told.id)
        return refused

    @rule(
        query=st.builds(
            GroupsQuery,
            st.sampled_from(["all", "sync_status"]),
            after=st.integers(0, 6),
            set_synced=st.booleans(),
            with_hash=st.just(value=True),
            registered_before_s=st.one_of(st.none(), st.integers(0, 5)),
        ),
        most_parts=st.integers(1, 6),
        batch=st.lists(st.builds(GroupAssignment, IDS, GROUPS), max_size=6),
    )
    def hand_out_groups(self, query: GroupsQuery, most_parts: int, batch: list[GroupAssignment]) -> None:
        """From any agent on, and not always to the end: what was not handed out is still to be sent."""
        self.set_groups(batch, "override", "syncreq")
        seconds = -1 if query.registered_before_s is None else query.registered_before_s
        asked = self.agents if query.condition == "all" else self.unsent_groups
        old = [number for number in asked if self.now - self.registered[number] > seconds]
        expected = sorted(number for number in old if number > query.after)
        for _ in range(most_parts):
            part = self.run(self.store.groups(query))
            ids = [each.id for each in part.assignments]
            assert ids == expected[: len(ids)]
            assert part.more == (ids != expected)
            assert part.hash == (None if part.more else self._hash())
            assert all(each.groups == self.groups.get(each.id, ()) for each in part.assignments)
            expected = expected[len(ids) :]
            if query.set_synced:
                self.unsent_groups -= set(ids)
            if not part.more:
                break
            query = query._replace(after=ids[-1])

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def recalculate(self) -> None:
        self.run(self.store.recalculate_hashes())

    @invariant()
    def the_same_is_known(self) -> None:
        if not hasattr(self, "store"):
            return
        found: list[KnownAgent] = []
        after, more = 0, True
        while more:
            part, more = self.run(self.store.agents(after))
            found += part
            after = found[-1].id if found else 0
        assert {each.id: each.info for each in found} == self.agents
        assert {each.id: each.groups for each in found if each.groups} == {
            number: names for number, names in self.groups.items() if names
        }
        assert {each.id for each in found if each.info_unsent} == self.unsent
        assert {each.id for each in found if each.groups_unsent} == self.unsent_groups

    def _keep(self, told: AgentInfo) -> None:
        known = self.agents.get(told.id)
        if told.labels is None and known:
            told = structs.replace(told, labels=known.labels)
        self.agents[told.id] = told
        self.registered.setdefault(told.id, self.now)

    def _hash(self) -> str | None:
        texts = [",".join(names) for _, names in sorted(self.groups.items()) if names]
        pieces = [hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts]
        return hashlib.sha1("".join(pieces).encode(), usedforsecurity=False).hexdigest() if pieces else None


StoreAgainstModel.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestStoreAgainstModel = StoreAgainstModel.TestCase
