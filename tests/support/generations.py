"""Every state that the master's tree had, and whether each apply of a worker made one of them.

A container rests on a scan and carries what lies there when it is packed. So what a worker holds after
an apply is the state of that scan if the master's tree stayed as it was; and if it changed meanwhile,
each file is as it was in one of the states since that scan. A bundle makes exactly one state, and no older one.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster

from outrider.logs import TaskLogger
from outrider.master import integrity
from outrider.master.source import Source
from outrider.model import Manifest, Plan, diff
from outrider.store.tree import Applied, FileTree

State = dict[str, bytes]


class Generations:
    """See the module. ``wrong`` names what no state explains; ``exact`` counts applies that rest on one state."""

    def __init__(self, cluster: Cluster, patch: pytest.MonkeyPatch) -> None:
        self.wrong: list[str] = []
        self.exact = 0
        self._cluster = cluster
        self._states: list[State] = []
        self._scans: list[tuple[Manifest, int]] = []
        self._plans: list[tuple[Plan, int]] = []
        self._sent: defaultdict[str, list[int]] = defaultdict(list)
        self._applied: set[str] = set()
        self._stood: defaultdict[str, int] = defaultdict(int)
        self._follow_the_master(patch)
        self._follow_the_workers(patch)

    def changed(self) -> None:
        """The master's tree is another now."""
        self._states.append(self._cluster.tree("master"))

    def _follow_the_master(self, patch: pytest.MonkeyPatch) -> None:
        look, compare, sync = Source.look, diff, integrity.WorkerIntegrity._sync

        async def looked(source: Source) -> None:
            before = len(self._states) - 1
            await look(source)
            self._scans.append((source.manifest, before))

        def compared(source: Manifest, *others: Any, **more: Any) -> Plan:
            plan = compare(source, *others, **more)
            self._plans.append((plan, next(at for scan, at in reversed(self._scans) if scan is source)))
            return plan

        async def synced(worker: integrity.WorkerIntegrity, plan: Plan, log: TaskLogger) -> None:
            name = worker._session.worker
            if name in self._applied:
                self._applied.remove(name)
                self._sent[name].clear()
            self._sent[name].append(next(at for made, at in reversed(self._plans) if made is plan))
            await sync(worker, plan, log)

        patch.setattr(Source, "look", looked)
        patch.setattr(integrity, "diff", compared)
        patch.setattr(integrity.WorkerIntegrity, "_sync", synced)

    def _follow_the_workers(self, patch: pytest.MonkeyPatch) -> None:
        apply, apply_bundle = FileTree.apply, FileTree.apply_bundle

        async def applied(tree: FileTree, container: Path) -> Applied:
            name = Path(tree._home).name
            before = self._cluster.tree(name)
            outcome = await apply(tree, container)
            self._check(name, before, self._cluster.tree(name))
            return outcome

        async def bundle_applied(tree: FileTree, *args: Any, **more: Any) -> Applied:
            outcome = await apply_bundle(tree, *args, **more)
            self._check_exact(Path(tree._home).name)
            return outcome

        patch.setattr(FileTree, "apply", applied)
        patch.setattr(FileTree, "apply_bundle", bundle_applied)

    def _check_exact(self, name: str) -> None:
        made = self._cluster.tree(name)
        at = next((at for at in reversed(range(len(self._states))) if self._states[at] == made), -1)
        if at < self._stood[name]:
            self.wrong.append(f"{name}: the tree is in " + ("no state" if at < 0 else "a state before its last one"))
        self._stood[name] = max(at, self._stood[name])
        self.exact += 1

    def _check(self, name: str, before: State, after: State) -> None:
        # Several may have been sent since the last apply, over connections that were lost: it is one of them.
        since = self._states[min(self._sent[name]) :]
        self._applied.add(name)
        self.exact += len(since) == 1
        for path in before.keys() | after.keys() | set().union(*since):
            had = {state.get(path) for state in since}
            # A file that changes while it is packed waits for the next round.
            if after.get(path) not in (had | {before.get(path)} if len(had) > 1 else had):
                self.wrong.append(f"{name}: {path} is in no state since the scan")
            if path in before and path in after and _version(after[path]) < _version(before[path]):
                self.wrong.append(f"{name}: {path} became older")


def _version(content: bytes) -> int:
    return int(content.partition(b" ")[0])
