"""One answer out of several nodes' answers (specification 5.9, route 2).

What a node could not do never disappears: it becomes failed items where the result has a place for them,
and otherwise the answer is the failure, which names each node that failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from outrider.protocol.faults import Failure, NodeError
from outrider.protocol.results import AffectedItemsWazuhResult, Unhandled, WazuhResult, special

_CASTS: Final[Mapping[str, Callable[[Any], Any]]] = {"int": int, "float": float, "str": str}
"""How ``sort_casting`` compares: the only types that it can name."""


def merge(answers: Mapping[str, Any]) -> Any:
    """The answer of all nodes, from each one's as :func:`~outrider.protocol.results.decode_result` gave it.

    ``answers`` is by node name, in the order in which equals are to stand. Results of one class become one of
    that class; answers of which some are plain data stay apart, as a dictionary by node.
    """
    if not answers:
        raise ValueError("no node was asked")
    try:
        return _merge(answers)
    except (RecursionError, ValueError) as error:
        return Failure.internal(f"the nodes' answers cannot be merged: {error}")


def _merge(answers: Mapping[str, Any]) -> Any:
    failures = {node: _named(node, _failure(answer)) for node, answer in answers.items() if _is_failure(answer)}
    good = [answer for answer in answers.values() if not _is_failure(answer)]
    if not good:
        return _merge_failures(list(failures.values()))
    if all(isinstance(answer, AffectedItemsWazuhResult) for answer in good):
        return _merge_items(good, failures)
    if all(isinstance(answer, WazuhResult) for answer in good):
        return _merge_failures(list(failures.values())) if failures else _merge_results(good)
    return dict(answers)


def _is_failure(answer: Any) -> bool:
    return isinstance(answer, Failure | Unhandled)


def _failure(answer: Failure | Unhandled) -> Failure:
    if isinstance(answer, Failure):
        return answer
    return Failure.internal(f"{answer.name}: {', '.join(map(str, answer.args))}")


def _named(node: str, failure: Failure) -> Failure:
    """The failure with the node that it came from."""
    return structs.replace(failure, dapi_errors=failure.dapi_errors or {node: NodeError(str(failure))})


def _merge_failures(failures: Sequence[Failure]) -> Failure:
    """The first, with the nodes and ids of all."""
    nodes: dict[str, NodeError] = {}
    for failure in failures:
        nodes |= failure.dapi_errors
    ids = _union(failure.ids for failure in failures)
    return structs.replace(failures[0], dapi_errors=nodes, ids=ids)


def _merge_items(
    results: Sequence[AffectedItemsWazuhResult], failures: Mapping[str, Failure]
) -> AffectedItemsWazuhResult:
    first = results[0]
    failed = [item for result in results for item in result.failed]
    failed += [(failure, failure.ids or [node]) for node, failure in failures.items()]
    more = sum(len(failure.ids) or 1 for failure in failures.values())
    return structs.replace(
        first,
        affected_items=_sorted([item for result in results for item in result.affected_items], first),
        total_affected_items=sum(result.total_affected_items for result in results),
        total_failed_items=sum(result.total_failed_items for result in results) + more,
        dikt=_merge_values([result.dikt for result in results], []),
        failed=_merge_failed(failed),
    )


def _merge_failed(failed: Iterable[tuple[Failure, list[Any]]]) -> list[tuple[Failure, list[Any]]]:
    """One entry for each failure of the same kind and words, with all its ids."""
    alike: dict[str, list[tuple[Failure, list[Any]]]] = {}
    for failure, ids in failed:
        alike.setdefault(f"{failure.name} {failure}", []).append((failure, ids))
    return [
        (_merge_failures([failure for failure, _ in group]), _union(ids for _, ids in group))
        for group in alike.values()
    ]


def _merge_results(results: Sequence[WazuhResult]) -> WazuhResult:
    priority = next((result.str_priority for result in results if result.str_priority), None)
    return WazuhResult(_merge_values([result.result for result in results], priority or []), priority)


def _merge_values(values: Sequence[Any], priority: Sequence[str]) -> Any:
    """Dictionaries key by key, lists one after another without repeats, numbers as their sum, truths if all are true.

    Of several texts the one that stands first in ``priority`` wins, otherwise the first; so does the first where
    nodes disagree about the type.
    """
    first = values[0]
    if len(values) == 1 or not all(type(value) is type(first) for value in values):
        return first
    if isinstance(first, dict):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _merge_values([value[key] for value in values if key in value], priority) for key in keys}
    if isinstance(first, list):
        return _union(values)
    if isinstance(first, bool):
        return all(values)
    if isinstance(first, int | float):
        return sum(values)
    return min(values, key=lambda text: priority.index(text) if text in priority else len(priority))


def _union(lists: Iterable[Sequence[Any]]) -> list[Any]:
    """All items once, in the order in which they came; equal is what has the same JSON."""
    once: dict[str, Any] = {}
    for item in (item for items in lists for item in items):
        once.setdefault(json.dumps(item, default=special, sort_keys=True), item)
    return list(once.values())


def _sorted(items: list[Any], order: AffectedItemsWazuhResult) -> list[Any]:
    """The items as the result's own sort fields want them; as they came where these do not fit."""
    fields = order.sort_fields if order.sort_fields is not None else [""]
    in_order = items
    try:
        keys = list(zip(fields, order.sort_casting, order.sort_ascending, strict=True))
        for name, casting, ascending in reversed(keys):
            cast = _CASTS[casting]
            in_order = sorted(in_order, key=lambda item: cast(_field(item, name)), reverse=not ascending)
    except (ValueError, TypeError, KeyError):
        return items
    return in_order


def _field(item: Any, name: str) -> Any:
    """A field of an item, a dot leading inward; the item itself for no name."""
    for part in name.split(".") if name else ():
        item = item[part]
    return item
