"""An API call: how far a node's clock is from its master's, as the kind ``clock`` last found."""

from __future__ import annotations

from msgspec import Struct

from outrider import Context, Handlers

handlers = Handlers()


class Clock(Struct, frozen=True):
    """``off_ms`` is ``None`` where nothing was compared yet; ``at`` is in Unix seconds."""

    node: str
    off_ms: int | None
    at: float


@handlers.call("example.clock")
async def clock(context: Context) -> Clock:
    """The master's clock is the one that others are compared with."""
    if context.node.type == "master":
        return Clock(context.node.name, 0, context.ports.wall())
    rounds = context.status.snapshot().kinds.get("clock")
    if rounds is None or rounds.last is None:
        return Clock(context.node.name, None, context.ports.wall())
    return Clock(context.node.name, rounds.last.counts["off_ms"], rounds.last.started)
