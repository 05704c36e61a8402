"""What programs of a master's machine may ask about the cluster key: how it stands, to rotate it, to take that back.

No answer holds a key: keys are told by their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.store.peers import Peers

if TYPE_CHECKING:
    from outrider.master.rotation import KeyRotation

_LONGEST_S = 365 * 86_400.0


class WorkerKey(Struct, frozen=True, kw_only=True):
    """How a worker stands: it has followed, it follows, it cannot (``why``), or it is away and known from before."""

    name: str
    state: Literal["followed", "follows", "cannot", "away"]
    why: str = ""


class KeyStatus(Struct, frozen=True, kw_only=True):
    """The ids of the keys, the one that seals first; the last rotation, its phase and the end of its window."""

    holds: tuple[str, ...]
    cannot: str
    phase: str = ""
    new: str = ""
    old: tuple[str, ...] = ()
    until: float = 0.0
    workers: tuple[WorkerKey, ...] = ()


class KeyCalls:
    """The calls, each under a name of ours."""

    def __init__(self, half: KeyRotation) -> None:
        self._half = half

    def offer(self, calls: Handlers) -> None:
        """Put them into the table."""
        calls.call("outrider.key_status")(self.status)
        calls.call("outrider.key_rotate")(self.rotate)
        calls.call("outrider.key_abort")(self.abort)

    async def status(self, context: Context) -> KeyStatus:
        """How the keys stand, here and at the workers."""
        context.only_local()
        half, rotation = self._half, self._half.rotation
        cannot, behind = dict(half.unable()), set(half.behind())
        workers = [WorkerKey(name=name, state="cannot", why=why) for name, why in cannot.items()]
        followed = [name for name in half.talks if name not in cannot]
        workers += [WorkerKey(name=one, state="follows" if one in behind else "followed") for one in followed]
        home = half.ground.settings.node.home.resolve()
        known = await half.ground.ports.threads.run(Peers(home).all)
        away = {peer.name for peer in known if peer.type == "worker"} - half.talks.keys()
        workers += [WorkerKey(name=name, state="away") for name in sorted(away)]
        return KeyStatus(
            holds=half.keys.ids,
            cannot=half.keys.cannot,
            phase=rotation.phase if rotation is not None else "",
            new=rotation.new if rotation is not None else "",
            old=rotation.old if rotation is not None else (),
            until=rotation.until if rotation is not None else 0.0,
            workers=tuple(workers),
        )

    async def rotate(
        self,
        context: Context,
        *,
        window_s: Annotated[float, Meta(ge=0, le=_LONGEST_S)] | None = None,
        anyway: bool = False,
    ) -> KeyStatus:
        """Begin a rotation, or let one go on without those who cannot learn a key."""
        context.only_local()
        window = context.settings.link.key_window if window_s is None else window_s
        await self._half.begin(window, anyway=anyway)
        return await self.status(context)

    async def abort(self, context: Context) -> KeyStatus:
        """Give up a rotation with whose key nobody seals yet."""
        context.only_local()
        await self._half.abort()
        return await self.status(context)
