"""The master's half of the fast path: its tree as a row of generations, made when it changes and told at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from outrider.codes import Code
from outrider.errors import OutriderError, Refusal, StoreError, SyncError
from outrider.hooks import GenerationEvent
from outrider.kinds.interface import Half, LinkGround, NodeGround, Task
from outrider.logs import Tag, task_logger
from outrider.master.generation_calls import GenerationCalls
from outrider.master.source import Source
from outrider.master.standings import Standings
from outrider.master.steps import PATIENCE_S, WorkerGenerations
from outrider.model import Manifest, Plan, diff
from outrider.printable import counted
from outrider.protocol import faults
from outrider.protocol import generations as g
from outrider.relay.handlers import Handlers
from outrider.store.bundles import BundlePacker, Bundles, Step
from outrider.store.generations import Generation, open_generations
from outrider.store.shelf import Bundle, Shelf
from outrider.store.tree import BundleFeed
from outrider.trying import Tries

_BUNDLES: Final = ".outrider/bundles"


class Aim(NamedTuple):
    """Where a worker stands, the generation that it is to be brought to, and the step between."""

    base: bytes
    to: Generation
    step: Step


class Generations(Half[WorkerGenerations]):
    """See the module. ``current`` is the generation that workers are brought to."""

    def __init__(self, ground: NodeGround, source: Source, standings: Standings, calls: Handlers) -> None:
        super().__init__()
        GenerationCalls(self).offer(calls)
        threads = ground.ports.threads
        self.ground = ground
        self.standings = standings
        self.current: Generation | None = None
        self._open = contextlib.AsyncExitStack()
        home = ground.settings.node.home.resolve()
        self._shelf = Shelf(home / _BUNDLES, threads, most_bytes=lambda: ground.settings.generations.bundle_bytes)
        self._source = source
        self._changed = asyncio.Event()
        self._making = asyncio.Lock()
        self._log = task_logger(Tag.LOCAL_INTEGRITY, ground.node.name)
        source.changed.connect(self._changed.set)

    async def start(self) -> None:
        """Open the store and make a generation of what the tree holds; if that fails, workers wait for it."""
        ports, home = self.ground.ports, self.ground.settings.node.home.resolve()
        store = open_generations(home, ports.threads, ports.random, lambda: self.ground.settings.generations)
        self.store = await self._open.enter_async_context(store)
        self.bundles = Bundles(self.ground.tree, self.store, ports.threads)
        self.ground.live.when_changed(self._keep)
        await self._shelf.open()
        try:
            await self._make()
        except OutriderError as error:
            self._changed.set()
            self._log.error("no generation yet: %s", error)

    def tasks(self) -> Sequence[Task]:
        """A generation whenever the tree has changed."""
        return [(Tag.LOCAL_INTEGRITY, self.run)]

    def talk(self, link: LinkGround) -> WorkerGenerations:
        """A worker."""
        return WorkerGenerations(self, link)

    async def close(self) -> None:
        """Give up the bundles; the generations stay."""
        await self._shelf.close()
        await self._open.aclose()

    async def run(self) -> None:
        """Until cancelled. A tree that changes while it is copied is looked at again, ever more rarely."""
        ports, status = self.ground.ports, self.ground.status
        with Tries("a new generation", ports, self._log, status, base_s=0.1, cap_s=10, quiet=SyncError) as tries:
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    if await self._make():
                        await self._tell_all()
                    tries.worked()
                except OutriderError as error:
                    tries.failed(error)
                    await tries.pause()
                    await self._look_again(tries)

    async def _look_again(self, tries: Tries) -> None:
        """What the tree holds may be another by now."""
        self._changed.set()
        try:
            await self._source.look()
        except OutriderError as error:
            tries.failed(error)
            await tries.pause()

    async def _make(self) -> bool:
        """Whether there is a new generation."""
        async with self._making:
            manifest, look = self._source.manifest, self._source.number
            if self.current is not None and self.current.root == manifest.root:
                return False
            keeping = self.store.add(self.ground.tree, manifest, self.ground.ports.wall())
            current, _ = await asyncio.gather(keeping, self._pack_ahead(manifest))
            self.current, self._holds = current, manifest
            stands = self.ground.status.stands
            stands(number=current.number, root=current.root, at=current.time, files=len(manifest))
        self.standings.made(current, look)
        self.ground.events.stands(GenerationEvent(number=current.number, root=current.root))
        self._log.info("generation %d: %s", current.number, counted(len(manifest), "file"))
        self.ground.supervisor.start("sweep generations", self._sweep())
        return True

    async def _pack_ahead(self, to: Manifest) -> None:
        """Pack what workers will want while the generation becomes durable; what fails is packed when asked for."""
        base = None if self.current is None else bytes.fromhex(self.current.root)
        if base is None or not any(talk.root == base for talk in self.talks.values()):
            return
        with contextlib.suppress(OutriderError):
            step = await self.bundles.step(self._holds, to, self._source.unseen)
            ticket = g.ticket_of(base, bytes.fromhex(to.root))
            await self._shelf.get_or_pack(ticket, partial(self.bundles.pack, step))

    def _keep(self) -> None:
        """The settings are others: so is perhaps how much is kept."""
        self.store.follow()
        self.ground.supervisor.start("sweep generations", self._sweep())

    async def _sweep(self) -> None:
        """Drop what is beyond the limits, after the workers have been told."""
        try:
            await self.store.sweep()
        except OutriderError as error:
            self._log.warning("old generations cannot be dropped yet: %s", error)

    @property
    def number(self) -> int:
        """That of the current generation; 0 while there is none."""
        return 0 if self.current is None else self.current.number

    # what a person may want

    async def difference(self, new: Manifest, before: Manifest) -> Plan:
        """What a generation changed."""
        return await self.ground.ports.threads.run(diff, new, before, self.ground.tree.table)

    async def go_back_to(self, number: int) -> Generation:
        """Make the tree what it was in a generation, all or nothing; that becomes the latest.

        A person wants it so: it may delete what it wants, on every worker.
        """
        tree, wanted = self.ground.tree, await self.store.manifest(number)
        if wanted is None:
            raise StoreError(f"generation {number} is not kept whole any more").coded(Code.GENERATION_NOT_KEPT)
        await self._source.look()
        base = self._source.manifest
        feed = BundleFeed()
        packing = await self.bundles.pack(await self.bundles.step(base, wanted, ()))
        self._source.approved.add(wanted.root)
        async with self._making:  # no generation is made of what a look sees while the tree is exchanged
            pouring = self.ground.ports.threads.run(_pour, packing, feed)
            await asyncio.gather(pouring, tree.apply_bundle(feed, base, wanted.root))
            await self._source.look()
        self._changed.clear()
        if await self._make():
            await self._tell_all()
        return self._now()

    async def approve(self) -> str:
        """Let the current generation delete what it wants; workers that hold it back are told."""
        root = self._now().root
        self._source.approved.add(root)
        await self._tell_all()
        return root

    # what workers get

    async def offer(self, root: bytes) -> g.Answer:
        """What a worker that stands at ``root`` gets: the step that brings it here, if that root is known."""
        current, holds = self._now(), self._holds  # both of one moment: the next generation may come any time
        if root.hex() == current.root:
            return g.InStep(current.number, bytes.fromhex(self.store.lineage))
        if bundle := self._shelf.get(g.ticket_of(root, bytes.fromhex(current.root))):
            return await self._offer(root, current, bundle)
        number = await self.store.find(root.hex())
        base = None if number is None else await self.store.manifest(number)
        if base is None:
            return g.Unknown()
        step = await self.bundles.step(base, holds, self._source.unseen)
        return await self.offer_of(Aim(root, current, step))

    async def aim_from(self, root: bytes, report: bytes) -> Aim:
        """The step for a worker whose root is not known, from what it reports."""
        current = self._now()
        step = await self.bundles.step_against(root.hex(), report, self._holds, self._source.unseen)
        return Aim(root, current, step)

    async def offer_of(self, aim: Aim) -> g.Offer:
        """A step as an offer; its bundle is packed once for all who stand where it begins."""
        ticket = g.ticket_of(aim.base, bytes.fromhex(aim.to.root))
        bundle = await self._shelf.get_or_pack(ticket, partial(self.bundles.pack, aim.step))
        return await self._offer(aim.base, aim.to, bundle)

    async def _offer(self, base: bytes, to: Generation, bundle: Bundle) -> g.Offer:
        data, whole = await bundle.read(0, g.INLINE_BYTES, within_s=PATIENCE_S)
        root, lineage = bytes.fromhex(to.root), bytes.fromhex(self.store.lineage)
        return g.Offer(to.number, root, lineage, g.ticket_of(base, root), data, whole, to.root in self._source.approved)

    async def read(self, ticket: bytes, offset: int) -> bytes:
        """A part of a bundle; :class:`Refusal` if it is not here any more."""
        bundle = self._shelf.get(ticket)
        if bundle is None:
            raise Refusal(faults.INTERNAL, "this bundle is not kept any more: check again")
        data, last = await bundle.read(offset, g.PART_BYTES, within_s=PATIENCE_S)
        return g.encode_part(data, last=last)

    def unpacked(self, ticket: bytes) -> int:
        """Bytes of the files that the bundle of this step brings, patched ones whole; 0 if it is not here any more."""
        bundle = self._shelf.get(ticket)
        return 0 if bundle is None else bundle.unpacked

    async def _tell_all(self) -> None:
        """Tell each worker at once, in one message if its step is small; who misses it asks at its interval."""
        current = self._now()
        standing: dict[bytes, list[WorkerGenerations]] = {}
        for talk in self.talks.values():
            if talk.root is not None:
                standing.setdefault(talk.root, []).append(talk)
        for root, talks in standing.items():
            answer = await self.offer(root)
            news = answer if isinstance(answer, g.Offer) and answer.whole else g.News(current.number)
            payload = g.encode(news)
            for talk in talks:
                talk.tell(payload)

    def _now(self) -> Generation:
        if self.current is None:
            raise Refusal(faults.INTERNAL, "the master has no generation yet")
        return self.current


def _pour(packing: BundlePacker, feed: BundleFeed) -> None:
    """Let a bundle flow from who packs it to who applies it, on one machine."""
    try:
        while data := packing.read(g.PART_BYTES):
            if not feed.write(data):
                return
        feed.finish()
    except OutriderError as error:
        feed.fail(str(error))
        raise
    finally:
        packing.close()
