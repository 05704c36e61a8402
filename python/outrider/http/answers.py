"""Whether a node lives, whether it is in step, and all that it tells of itself: values, for whoever asks."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from outrider.errors import Nature
from outrider.explained import explanation
from outrider.http.watched import Watched
from outrider.overview import NodeView, Overview
from outrider.status import Failure

_BY_NATURE: Final = {
    Nature.TEMPORARY: "Nothing: it is tried again by itself.",
    Nature.PERMANENT: "Somebody has to change something here: outrider doctor says what.",
    Nature.PEER: "The other end is to blame: its log, or outrider doctor there, says more.",
}


class Ready(NamedTuple):
    """Whether a node is in step, and if not, why."""

    ready: bool
    reason: str


def health(node: Watched) -> Ready:
    """Whether it does its work at all; that it answers says that its event loop turns."""
    return Ready(node.running, "" if node.running else "this node does not run")


def readiness(node: Watched, generation: int | None) -> Ready:
    """Whether its tree is the master's, and stands at ``generation`` or a later one if one is named."""
    if not node.running:
        return Ready(ready=False, reason="this node does not run")
    itself = node.look().nodes[0]
    if not itself.in_step:
        return Ready(ready=False, reason=itself.why_not)
    stands = itself.standing.number
    if generation is not None and stands < generation:
        reason = f"this node stands at generation {stands}" if stands else "no generation is known on this link"
        return Ready(ready=False, reason=f"{reason}, not yet at {generation}")
    return Ready(ready=True, reason="")


async def status(node: Watched) -> dict[str, Any]:
    """Everything: who it is, its counters and last rounds, the cluster as far as it can learn of it."""
    ready = readiness(node, None)
    info = node.get_node()
    return {
        "node": {"name": info.name, "type": info.type, "cluster": node.settings.node.cluster, "version": info.version},
        "ready": ready.ready,
        "reason": ready.reason,
        "cluster": told(await node.cluster()),
        "status": node.status.snapshot(),
    }


def told(overview: Overview) -> dict[str, Any]:
    """An overview, with what its values mean spelt out: who is in step, and what mends a failure."""
    return {
        "cluster": overview.cluster,
        "told_by": overview.told_by,
        "at": overview.at,
        "missing": overview.missing,
        "nodes": [_node(one) for one in overview.nodes],
        "syncs": overview.syncs,
        "failures": [_failure(one) for one in overview.failures],
    }


def _node(view: NodeView) -> dict[str, Any]:
    changed = view.standing.since if view.connected else view.since
    return {
        "name": view.name,
        "type": view.type,
        "version": view.version,
        "address": view.address,
        "connected": view.connected,
        "extended": view.extended,
        "in_step": view.in_step,
        "since": changed,
        "reason": view.why_not,
        "generation": view.standing.number,
        "root": view.standing.root,
        "files": view.standing.files,
        "heard": view.keep_alive,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    """The texts of our errors name the cause, then the remedy where there is one, behind the first semicolon.

    Otherwise its code has one.
    """
    cause, _, remedy = failure.reason.partition("; ")
    explained = explanation(failure.code) if failure.code else None
    return {
        "at": failure.at,
        "peer": failure.peer,
        "name": failure.name,
        "times": failure.times,
        "nature": failure.nature,
        "code": failure.code,
        "cause": cause,
        "remedy": remedy or (explained.remedy if explained else _BY_NATURE[Nature(failure.nature)]),
    }
