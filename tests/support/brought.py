"""Calls that a package brings to real nodes, and how a test installs it: an entry point in a folder of its own.

Each says in the node's log what happens to it, so that a test can wait for that and not for a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any, Literal

from outrider import Context, Handlers, Refusal

handlers = Handlers()
_log = logging.getLogger("outrider.brought")
_POLL_S = 0.02

How = Literal["raise", "refuse", "exit", "interrupt", "cancel", "recurse", "nan", "code", "lie", "circle"]


_RAISED: dict[str, BaseException] = {
    "raise": KeyError("gone"),
    "refuse": Refusal(4000, "not you"),
    "interrupt": KeyboardInterrupt(),
    "cancel": asyncio.CancelledError(),
}


def install(folder: Path) -> dict[str, str]:
    """Make a package of this module in ``folder``; the environment in which a node finds it."""
    facts = folder / "brought-1.0.dist-info"
    facts.mkdir(parents=True, exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[outrider.handlers]\nbrought = {__name__}:handlers\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(Path(__file__).parents[2])))}


@handlers.call("test.wait")
async def wait(context: Context, *, gate: str) -> str:
    """Answer once the file ``gate`` is there."""
    _log.info("waits for %s of %s", Path(gate).name, context.caller)
    try:
        while not os.path.exists(gate):  # noqa: ASYNC110, ASYNC240, PTH110  (a look at a file of the test's)
            await asyncio.sleep(_POLL_S)
    except asyncio.CancelledError:
        _log.info("gives up %s", Path(gate).name)
        raise
    return context.node.name


@handlers.call("test.block")
def block(*, gate: str) -> str:
    """The same in a thread, which nobody can cancel."""
    _log.info("blocks for %s", Path(gate).name)
    while not os.path.exists(gate):  # noqa: PTH110
        threading.Event().wait(_POLL_S)
    return "opened"


@handlers.call("test.large")
async def large(*, size: int) -> str:
    """So many letters."""
    return "x" * size


@handlers.call("test.misbehave")
async def misbehave(*, how: How) -> dict[str, int]:
    """What no call should do, on the event loop."""
    await asyncio.sleep(0)
    return _misbehave(how)


@handlers.call("test.plainly")
def plainly(*, how: How) -> dict[str, int]:
    """The same in a thread."""
    return _misbehave(how)


def _misbehave(how: How) -> dict[str, int]:
    if how in _RAISED:
        raise _RAISED[how]
    if how == "exit":
        sys.exit(3)
    return _misbehave(how) if how == "recurse" else _answers()[how]


def _answers() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    return {"nan": {"a": float("nan")}, "code": {"a": _misbehave}, "lie": {"a": "b"}, "circle": circle}
