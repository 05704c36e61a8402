"""The small files of a node: each is whole at every moment, and what was told to be kept is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.scenario import Scenario, attempt, possible
from tests.faults.strace import Outcome

from outrider.store.identity import identity_of
from outrider.store.peers import Peer, Peers
from outrider.store.standing import Standing
from outrider.sync.generations import Known
from outrider.world import ThreadPool

_SEED = bytes(range(32))


def _peer(name: str) -> Peer:
    return Peer(type="worker", name=name, address="", version="1", certificate="ab", since=1.0)


def _known(number: int) -> Known:
    return Known(lineage="ab" * 16, number=number, root="cd" * 64)


async def _keep(home: Path, known: Known) -> None:
    standing = Standing(home, ThreadPool())
    await standing.open()
    await standing.keep(known)


class Small(Scenario):
    """A node's identity is made, peers are remembered and forgotten, and a generation is taken."""

    name = "small-files"

    def prepare(self) -> None:
        (self.home / ".outrider").mkdir()
        Peers(self.home).remember(_peer("first"))
        asyncio.run(_keep(self.home, _known(1)))

    @staticmethod
    def act(home: Path) -> None:
        with attempt("identity"):
            identity_of(home, _SEED)
        with attempt("remember"):
            Peers(home).remember(_peer("second"))
        with attempt("forget"):
            Peers(home).forget("first")
        with attempt("standing"):
            asyncio.run(_keep(home, _known(2)))

    def check(self, outcome: Outcome) -> str:
        if not outcome.died:
            assert self._leftovers() == [], "space was not freed"
        peers = frozenset(peer.name for peer in Peers(self.home).all())
        changes = (("remember", lambda names: names | {"second"}), ("forget", lambda names: names - {"first"}))
        assert peers in possible(frozenset({"first"}), changes, outcome), f"it remembers {sorted(peers)}"
        number = self._number()
        assert number in possible(1, (("standing", lambda _: 2),), outcome), f"it stands at {number}"
        made = (self.home / ".outrider/identity/node.pem").exists()
        assert made or "identity" not in outcome.done, "the identity is gone"
        # The next start makes or keeps it, and writes each file again.
        identity_of(self.home, _SEED)
        Peers(self.home).remember(_peer("third"))
        asyncio.run(_keep(self.home, _known(3)))
        assert self._number() == 3
        assert self._leftovers() == [], "something is left over after the next start"
        return f"{len(outcome.done)} done"

    def _number(self) -> int:
        standing = Standing(self.home, ThreadPool())
        asyncio.run(standing.open())
        assert standing.damaged == ""
        return standing.known.number

    def _leftovers(self) -> list[str]:
        wanted = {"node.pem", "peers.json", "standing.json"}
        return [
            path.name for path in (self.home / ".outrider").rglob("*") if path.is_file() and path.name not in wanted
        ]
