"""The two SQLite files: the outbox of agent information, and the store of agents. What was told to be kept is kept."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.scenario import Scenario, attempt, possible
from tests.faults.strace import Outcome
from tests.support.sqlite_store import agent, open_store

from outrider.model import GroupAssignment
from outrider.store.agents import GroupsQuery
from outrider.store.outbox import FILE, Chunk, Outbox, PutAside
from outrider.store.sqlite import SqliteStore
from outrider.world import ThreadPool

_ASIDE = PutAside(b'{"id":7}', "no master takes it", 1.0)


def sound(path: Path) -> None:
    """SQLite finds nothing wrong with a file."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], f"{path.name} is damaged"


Waiting = tuple[bytes, ...]
_START: Waiting = (b"[1]", b"[2]")
_OUTBOX: Sequence[tuple[str, Callable[[Waiting], Waiting]]] = (
    ("put", lambda chunks: (*chunks, b"[3]", b'[{"id":4},{"id":5}]')),
    ("confirm", lambda chunks: chunks[1:]),
    ("split", lambda chunks: (*chunks[:-1], b'[{"id":4}]', b'[{"id":5}]') if b"," in chunks[-1] else chunks),
    ("aside", lambda chunks: chunks),
)


class Box(Scenario):
    """Chunks are put, confirmed, split and put aside, in an outbox that holds some."""

    name = "outbox"
    told = False
    """A checkpoint that fails loses nothing: the log stays."""

    def prepare(self) -> None:
        async def story(outbox: Outbox) -> None:
            await outbox.put(_START)

        self._with(story)

    @staticmethod
    def act(home: Path) -> None:
        asyncio.run(_use_outbox(home))

    def check(self, outcome: Outcome) -> str:
        seen: list[Waiting] = []
        asides: list[PutAside] = []
        all_again: list[bool] = []

        async def story(outbox: Outbox) -> None:
            if "aside" not in outcome.done:  # else it may have died behind its last mark, with nothing lost
                assert outbox.all_again, "an end that was not orderly is told as one"
            assert outbox.damaged is None, "the file was found damaged"
            all_again.append(outbox.all_again)
            seen.append(tuple(chunk.text for chunk in await outbox.oldest(100)))
            asides.extend(await outbox.aside())
            await outbox.put([b"[9]"])
            assert (await outbox.oldest(100))[-1].text == b"[9]"

        sound(self.home / FILE)
        self._with(story)
        sound(self.home / FILE)
        if (self.home / FILE).with_suffix(".db.damaged").exists():
            # The disk would not give it back, so it made room for a new one.
            assert all_again[0], "a file was lost, and not everything is sent again"
            return "all again"
        assert seen[0] in possible(_START, _OUTBOX, outcome), f"{seen[0]!r} waits"
        if "aside" in outcome.done:
            assert asides == [_ASIDE], "a record that was put aside is gone"
        return f"{len(outcome.done)} done"

    def _with(self, story: Callable[[Outbox], object]) -> None:
        async def whole() -> None:
            outbox = Outbox(self.home, ThreadPool())
            outbox.open()
            told = story(outbox)
            assert asyncio.iscoroutine(told)
            await told
            outbox.close(orderly=True)

        asyncio.run(whole())


async def _use_outbox(home: Path) -> None:
    outbox = Outbox(home, ThreadPool())
    with attempt("open"):
        outbox.open()
    with attempt("put"):
        await outbox.put([b"[3]", b'[{"id":4},{"id":5}]'])
    chunks: list[Chunk] = []
    with attempt("look"):
        chunks = await outbox.oldest(100)
    if len(chunks) > 1:
        with attempt("confirm"):
            await outbox.confirmed(chunks[:1])
        if b"," in chunks[-1].text:
            with attempt("split"):
                await outbox.split(chunks[-1])
        with attempt("aside"):
            await outbox.put_aside([_ASIDE])
    with attempt("close"):
        outbox.close(orderly=True)


Known = tuple[tuple[int, str, tuple[str, ...]], ...]


def _put(known: Known) -> Known:
    return tuple((number, "disconnected", groups) for number, _, groups in known)


def _group(known: Known) -> Known:
    return tuple((number, status, ("linux", "web")) for number, status, _ in known)


_AGENTS: Sequence[tuple[str, Callable[[Known], Known]]] = (("put", _put), ("group", _group))
_IDS = range(1, 6)


class Agents(Scenario):
    """Agents and their groups change in a store that holds some."""

    name = "agents"
    told = False
    """As of the outbox."""

    def prepare(self) -> None:
        async def story() -> None:
            store = open_store(self.home)
            await store.put([agent(number) for number in _IDS])
            await store.set_groups([GroupAssignment(number, ("default",)) for number in _IDS])
            await store.close()

        asyncio.run(story())

    @staticmethod
    def act(home: Path) -> None:
        asyncio.run(_use_agents(home))

    def check(self, outcome: Outcome) -> str:
        file = self.home / ".outrider" / "agents.db"
        sound(file)
        start: Known = tuple((number, "active", ("default",)) for number in _IDS)
        found = asyncio.run(self._found())
        assert found in possible(start, _AGENTS, outcome), f"{found} is kept"
        sound(file)
        return f"{len(outcome.done)} done"

    async def _found(self) -> Known:
        store = open_store(self.home)
        try:
            listed = (await store.agents()).agents
            part = await store.groups(GroupsQuery(condition="all", with_hash=True))
            before = part.hash
            await store.recalculate_hashes()
            after = (await store.groups(GroupsQuery(condition="all", with_hash=True))).hash
            assert before == after, "the hash of the groups is not theirs"
            groups = {one.id: one.groups for one in part.assignments}
            return tuple((one.id, one.info.connection_status if one.info else "", groups[one.id]) for one in listed)
        finally:
            await store.close()


async def _use_agents(home: Path) -> None:
    store: SqliteStore = open_store(home)
    with attempt("put"):
        await store.put([agent(number, connection_status="disconnected") for number in _IDS])
    with attempt("group"):
        await store.set_groups([GroupAssignment(number, ("linux", "web")) for number in _IDS])
    with attempt("recalculate"):
        await store.recalculate_hashes()
    await store.close()
