"""What an API call answers, as typed values and as JSON (specification 5.9).

Special objects are dictionaries with one key of their own. Reading one looks its key and its class up in
tables and makes a value; what is not in the tables, or does not fit, stays data. Nothing of the wire is
ever resolved to code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from math import isinf
from typing import Any, Final

import msgspec
from msgspec import Struct, field, structs

from outrider.protocol.faults import Failure


class WazuhResult(Struct, frozen=True):
    """A dictionary of values; ``str_priority`` says which of two texts wins when nodes' results are merged."""

    result: dict[str, Any]
    str_priority: list[str] | None = None


class AffectedItemsWazuhResult(Struct, frozen=True, kw_only=True):
    """Items, and for those that could not be had the failure and their ids."""

    affected_items: list[Any]
    total_affected_items: int
    sort_fields: list[str] | None = None
    sort_casting: list[str] = field(default_factory=lambda: ["int"])
    sort_ascending: list[bool] = field(default_factory=lambda: [True])
    total_failed_items: int = 0
    dikt: dict[str, Any] = field(default_factory=dict)
    all_msg: str = ""
    some_msg: str = ""
    none_msg: str = ""
    failed: list[tuple[Failure, list[Any]]] = field(default_factory=list)


class Unhandled(Struct, frozen=True):
    """An exception of a peer that is none of 7.2: the name of its class and its arguments, both data."""

    name: str = field(name="__class__")
    args: list[Any] = field(name="__args__")


RESULTS: Final = (WazuhResult, AffectedItemsWazuhResult, Failure, Unhandled)
"""What a call may answer besides plain data."""


def encode_result(value: Any) -> bytes:
    """The JSON of a call's answer; :class:`ValueError` says why it has none."""
    try:
        return _WRITER.encode(value).encode()
    except (TypeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


FAILURES: Final = (b'{"__wazuh_exception__"', b'{"__unhandled_exc__"')
"""How an answer begins that is an error, whoever wrote it."""


def decode_result(payload: bytes) -> Any:
    """Read an answer: its outermost special object as a value, what it holds as data; :class:`ValueError`."""
    return _read(parse(payload))


def value_of(data: Any) -> Any:
    """Data within an answer, such as one node's in that of several, as :func:`decode_result` reads a whole one."""
    return _read(data)


def parse(payload: bytes) -> Any:
    """JSON in UTF-8 as data; :class:`ValueError`, worded as the original words it, for anything else."""
    try:
        return _FAST.decode(payload)
    except (ValueError, RecursionError):
        return _explained(payload)


def _explained(payload: bytes) -> Any:
    """What the fast reader would not take: half a letter, which JSON allows, or an error in the original's words."""
    try:
        return _READER.decode(payload.decode())
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def revive(value: Any) -> Any:
    """``value`` with the special objects within it as typed values; what does not fit stays as it is."""
    if isinstance(value, list):
        return [revive(item) for item in value]
    if isinstance(value, dict):
        return _read({key: revive(item) for key, item in value.items()})
    return value


def special(value: Any) -> Any:
    """What JSON does not know, as a special object or plain data: the hook for :func:`json.dumps`."""
    if isinstance(value, WazuhResult):
        return _wrap(value, {"str_priority": value.str_priority, "result": value.result})
    if isinstance(value, AffectedItemsWazuhResult):
        return _wrap(value, _affected_items(value))
    if isinstance(value, Failure):
        return {"__wazuh_exception__": value.parts()}
    if isinstance(value, date):  # a datetime is one as well
        return {"__wazuh_datetime__": value.isoformat()}
    if isinstance(value, Struct):
        body = _by_wire_names(value)
        return {"__unhandled_exc__": body} if isinstance(value, Unhandled) else body
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of the type {type(value).__name__} cannot be sent")


def _by_wire_names(value: Struct) -> dict[str, Any]:
    if value.__struct_encode_fields__ is value.__struct_fields__:
        return structs.asdict(value)
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {name: getattr(value, attribute) for name, attribute in names}


def _wrap(value: Struct, body: dict[str, Any]) -> dict[str, Any]:
    return {"__wazuh_result__": {"__class__": type(value).__name__, "__object__": body}}


def _affected_items(value: AffectedItemsWazuhResult) -> dict[str, Any]:
    body = {name: getattr(value, name) for name in _WIRE_ORDER}
    body["failed_items_keys"] = [failure.parts() for failure, _ in value.failed]
    body["failed_items_values"] = [ids for _, ids in value.failed]
    return body


_WIRE_ORDER: Final = (
    "affected_items",
    "sort_fields",
    "sort_casting",
    "sort_ascending",
    "total_affected_items",
    "total_failed_items",
    "dikt",
    "all_msg",
    "some_msg",
    "none_msg",
)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


_WRITER: Final = json.JSONEncoder(default=special, allow_nan=False)
_READER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_number)
_FAST: Final = msgspec.json.Decoder()


def _read(value: Any) -> Any:
    """The typed value of one special object; anything else stays as it is."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, body),) = value.items()
        if (reader := _READERS.get(key)) is not None:
            try:
                return reader(body)
            except (ValueError, KeyError, TypeError):
                return value
    return value


def _read_result(parts: Any) -> Any:
    return _CLASSES[parts["__class__"]](parts["__object__"])


def _read_affected_items(body: dict[str, Any]) -> AffectedItemsWazuhResult:
    keys, values = body["failed_items_keys"], body["failed_items_values"]
    failed = [(Failure.read(parts), ids) for parts, ids in zip(keys, values, strict=True)]
    return msgspec.convert({**body, "failed": failed}, AffectedItemsWazuhResult)


def _read_date(text: str) -> date:
    return datetime.fromisoformat(text) if ":" in text else date.fromisoformat(text)


_CLASSES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "WazuhResult": lambda body: msgspec.convert(body, WazuhResult),
    "AffectedItemsWazuhResult": _read_affected_items,
}
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "__wazuh_result__": _read_result,
    "__wazuh_exception__": Failure.read,
    "__wazuh_datetime__": _read_date,
    "__unhandled_exc__": lambda body: msgspec.convert(body, Unhandled),
}
