"""The master's half of the rotation of the cluster key: one phase after another, each once all who can have followed.

============  ============================================  =====================================================
phase         the keys of the master, the sealing one first  over when
============  ============================================  =====================================================
``adding``    old, new                                      every worker that can learn it knows the new key
``sealing``   new, old                                      every worker that can learn it seals with the new key
``window``    new, old                                      ``link.key_window`` has passed
``dropping``  new                                           every worker that can learn it has forgotten the old one
``done``      new                                           the next rotation begins
============  ============================================  =====================================================

A phase is on disk before anything follows from it, and all that follows can be done again: so a node that dies at any
moment goes on where it was. A worker that was away asks when it is back, and does then what it has missed. One that
holds nothing but an old key is let in until the window is over, since links answer in the key in which they are spoken
to; afterwards it is told apart from a stranger in this node's log, and in nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from outrider.errors import OutriderError, Refusal, StoreError
from outrider.exchange.keys import Keys
from outrider.exchange.session import Serve
from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.master.key_calls import KeyCalls
from outrider.protocol import commands as c
from outrider.protocol import faults
from outrider.protocol import rotation as r
from outrider.protocol.commands import Command
from outrider.protocol.seal import Retired, signing_half
from outrider.relay.handlers import Handlers
from outrider.settings.key import key_id, make_key
from outrider.store.rotation import MOST_GONE, Gone, Phase, Rotation, read_rotation, write_rotation
from outrider.supervise import within
from outrider.transport.answers import Reply

_STEPS: Final[Mapping[Phase, r.Step]] = {
    "adding": "add",
    "sealing": "seal",
    "window": "seal",
    "dropping": "drop",
    "done": "drop",
}
_LOOKS_S: Final = 60
"""The end of the window is looked for this often: the clock of a machine may be set meanwhile."""


class WorkerKeys(Talk):
    """The keys of one worker, as it told them."""

    def __init__(self, half: KeyRotation, link: LinkGround) -> None:
        self.session = link.session
        self.standing: r.Standing | None = None
        self._half = half

    def serves(self) -> Mapping[Command, Serve]:
        """A worker says which keys it holds, and asks what to do with them."""
        return {c.KEY_STANDS: self._stands}

    def lost(self, reason: str) -> None:  # noqa: ARG002  (whatever it is)
        """Nobody waits for it any more."""
        self._half.moved.set()

    @property
    def learns(self) -> bool:
        """Whether this worker can be told of a key at all."""
        extended = self.session.extended
        return extended is not None and "keys" in extended.features

    def tell(self) -> None:
        """There is something to do; whether it heard shows when it asks."""
        if self.learns:
            self.session.request(c.KEY_NEWS).add_done_callback(_heard)

    def _stands(self, payload: bytes) -> Reply:
        if self.session.extended is None:
            raise Refusal(faults.DENIED, "the cluster key is spoken of inside TLS alone: extend the link first")
        self.standing = r.decode_standing(payload)
        self._half.moved.set()
        order = self._half.order_for(self.standing)
        return Reply(r.encode(order) if order is not None else b"")


class KeyRotation(Half[WorkerKeys]):
    """See the module."""

    def __init__(self, ground: NodeGround, keys: Keys, calls: Handlers) -> None:
        super().__init__()
        KeyCalls(self).offer(calls)
        self.ground = ground
        self.keys = keys
        self._last: Rotation | None = None
        self.moved = asyncio.Event()
        self._home = ground.settings.node.home.resolve()
        self._log = task_logger(Tag.CLUSTER, ground.node.name)
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Take up what was under way: the ring is what its phase wants before anybody is let in."""
        try:
            found = await self.ground.ports.threads.run(read_rotation, self._home)
        except StoreError as error:
            self._log.error("%s", error)
            return
        if found is None or found.new not in self.keys.ids:
            return
        self._last = found
        self.keys.use(self._order(found).of(self.keys.held), self._retired())

    @property
    def rotation(self) -> Rotation | None:
        """The last one, under way or done; ``None`` if a person has taken its key out of the file."""
        last = self._last
        return last if last is not None and last.new in self.keys.ids else None

    def tasks(self) -> Sequence[Task]:
        """The phases."""
        return [("Key rotation", self.run)]

    def talk(self, link: LinkGround) -> WorkerKeys:
        """A worker."""
        return WorkerKeys(self, link)

    async def run(self) -> None:
        """From phase to phase, as soon as each is over."""
        ports = self.ground.ports
        while True:
            self.moved.clear()
            async with self._turn:
                if self.rotation is None:
                    self._forget()
                else:
                    await self._follow()
                    while (following := self._following()) is not None:
                        await self._enter(following)
            self._tell_status()
            rotation = self.rotation
            left = rotation.until - ports.wall() if rotation is not None and rotation.phase == "window" else _LOOKS_S
            await within(min(max(left, 0), _LOOKS_S), self.moved.wait())

    async def begin(self, window_s: float, *, anyway: bool) -> None:
        """Make a key and begin to hand it out; ``anyway`` for one that is under way lets it go on without the others.

        :class:`Refusal` if another is under way or this node cannot keep a new key.
        """
        async with self._turn:
            rotation = self.rotation
            if rotation is not None and rotation.phase == "adding" and anyway and not rotation.anyway:
                await self._keep(msgspec.structs.replace(rotation, anyway=True))
            elif rotation is not None and rotation.phase != "done":
                raise Refusal(
                    faults.INTERNAL, f"a rotation is under way already, at {rotation.phase}: wait for its end"
                )
            elif self.keys.cannot:
                raise Refusal(faults.INTERNAL, f"this master cannot keep a new key: {self.keys.cannot}")
            else:
                await self._begin(window_s, anyway=anyway)
        self.moved.set()

    async def abort(self) -> None:
        """Take a key back that nobody seals with yet; :class:`Refusal` once somebody may."""
        async with self._turn:
            rotation = self.rotation
            if rotation is None or rotation.phase != "adding":
                raise Refusal(faults.INTERNAL, "only a rotation that is at adding can be given up; begin another one")
            back = msgspec.structs.replace(rotation, phase="dropping", new=rotation.old[0], old=(rotation.new,))
            await self._keep(back)
            await self._follow()
        self._log.warning("the rotation of the cluster key is given up: all forget %s", rotation.new)
        self._tell_workers()
        self.moved.set()

    def order_for(self, standing: r.Standing) -> r.Order | None:
        """What a worker that stands so has to do; nothing if it has done it, or cannot."""
        rotation = self.rotation
        if rotation is None or standing.cannot or self._has_followed(rotation, standing):
            return None
        if rotation.phase == "done" and not set(rotation.old) & set(standing.holds):
            return None  # its keys are a person's business since
        return self._order(rotation)

    def behind(self) -> Iterator[str]:
        """Workers that will follow and have not yet."""
        rotation = self.rotation
        for name, talk in self.talks.items():
            standing = talk.standing
            able = talk.learns and not (standing is not None and standing.cannot)
            if rotation is not None and able and not self._has_followed(rotation, standing):
                yield name

    def unable(self) -> Iterator[tuple[str, str]]:
        """Connected workers that cannot learn a key, and why."""
        for name, talk in self.talks.items():
            if not talk.learns:
                yield name, "it speaks the base protocol, or an older version of the extended one"
            elif talk.standing is not None and talk.standing.cannot:
                yield name, talk.standing.cannot

    # the phases

    async def _begin(self, window_s: float, *, anyway: bool) -> None:
        new = make_key(self.ground.ports.random)
        old = self.keys.ids
        gone = self.rotation.gone if self.rotation is not None else ()
        await self.keys.keep([*self.keys.held, new], self._retired())
        began = self.ground.ports.wall()
        rotation = Rotation(
            phase="adding", new=key_id(new), old=old, began=began, window_s=window_s, anyway=anyway, gone=gone
        )
        await self._keep(rotation)
        self._log.warning("the cluster key is being rotated: %s takes the place of %s", rotation.new, old[0])
        self._tell_workers()

    def _following(self) -> Phase | None:
        """The next phase, if this one is over."""
        rotation = self.rotation
        if rotation is None:
            return None
        if rotation.phase == "window":
            return "dropping" if self.ground.ports.wall() >= rotation.until else None
        if rotation.phase == "done" or any(self.behind()):
            return None
        if rotation.phase == "adding":
            return "sealing" if rotation.anyway or not any(self.unable()) else None
        return "window" if rotation.phase == "sealing" else "done"

    async def _enter(self, phase: Phase) -> None:
        rotation, now = self.rotation, self.ground.ports.wall()
        assert rotation is not None  # noqa: S101  (who enters has looked)
        gone, until = rotation.gone, rotation.until
        if phase == "window":
            until = now + rotation.window_s
        if phase == "dropping":
            here = [key for key in self.keys.held if key_id(key) in rotation.old]
            halves = [Gone(id=key_id(key), signs=signing_half(bytes(key)).hex(), since=now) for key in here]
            gone = (*halves, *gone)[:MOST_GONE]
        await self._keep(msgspec.structs.replace(rotation, phase=phase, until=until, gone=gone))
        self._log.warning("the rotation of the cluster key to %s is at: %s", rotation.new, phase)
        await self._follow()
        self._tell_workers()

    async def _follow(self) -> None:
        """Bring this node's own ring to what the phase wants."""
        if (rotation := self.rotation) is not None:
            await self.keys.keep(self._order(rotation).of(self.keys.held), self._retired())

    def _forget(self) -> None:
        """Its key is not this cluster's any more: what the workers hold of it goes with the next rotation."""
        last, self._last = self._last, None
        if last is not None and last.phase != "done":
            self._log.warning("the rotation of the cluster key to %s is over: the key file holds it no more", last.new)

    async def _keep(self, rotation: Rotation) -> None:
        await self.ground.ports.threads.run(write_rotation, self._home, rotation)
        self._last = rotation

    def _order(self, rotation: Rotation) -> r.Order:
        new = next(key for key in self.keys.held if key_id(key) == rotation.new)
        return r.Order(step=_STEPS[rotation.phase], new=bytes(new).decode(), old=rotation.old)

    def _has_followed(self, rotation: Rotation, standing: r.Standing | None) -> bool:
        step = _STEPS[rotation.phase]
        return standing is not None and r.satisfied(step, rotation.new, rotation.old, standing.holds)

    def _retired(self) -> list[Retired]:
        gone = self.rotation.gone if self.rotation is not None else ()
        return [Retired(bytes.fromhex(one.signs), f"on {_date(one.since)}") for one in gone]

    def _tell_workers(self) -> None:
        for talk in self.talks.values():
            talk.tell()

    def _tell_status(self) -> None:
        rotation = self.rotation
        if rotation is None or rotation.phase == "done":
            self.ground.status.note("key", None)
            return
        text = f"rotation to {rotation.new}: {rotation.phase}"
        if rotation.phase == "window":
            text += f" until {_date(rotation.until)}"
        for how, several in (
            ("waits for", list(self.behind())),
            ("cannot learn it", [name for name, _ in self.unable()]),
        ):
            text += f"; {how}: {', '.join(several)}" if several else ""
        self.ground.status.note("key", text)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _heard(answer: asyncio.Future[bytes]) -> None:
    """Whether it heard shows when it asks."""
    if not answer.cancelled() and isinstance(answer.exception(), OutriderError):
        return
