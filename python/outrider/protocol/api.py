"""The request JSON of the distributed API (specification 5.9), as data.

A request names what it calls; here that name is text and stays text. ``wazuh.core.agent:Agent.get_agents_overview``
is the module and the qualified name of a wire object, with a colon between; our own calls have no module and
so no colon. Whether a name means anything is decided by a table (``relay/handlers.py``), never by an import.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field, structs

from outrider.protocol.results import parse, special

MOST_DEPTH: Final = 100
"""How deep a request may be nested where nobody says otherwise; those of the original stay below ten."""


class TooDeep(ValueError):  # noqa: N818  (a reason, told as one)
    """A request whose values stand too deep within one another."""


BASIC_SERVICES: Final = ("wazuh-modulesd", "wazuh-analysisd", "wazuh-execd", "wazuh-db", "wazuh-remoted")

_PLAIN_RBAC: Final = {"rbac_mode": "black"}

_WRITER: Final = json.JSONEncoder(default=special, allow_nan=False)

RequestType = Literal["local_any", "local_master", "distributed_master"]
_Word = Annotated[str, Meta(max_length=256)]


class _Callee(Struct, frozen=True, forbid_unknown_fields=True):
    name: _Word = field(name="__name__")
    module: _Word = field(name="__module__")
    qualname: _Word = field(name="__qualname__")
    type: _Word = field(name="__type__", default="function")


class _Callable(Struct, frozen=True, forbid_unknown_fields=True):
    callee: _Callee = field(name="__callable__")


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request. ``call`` is what it calls, by its name here; the rest has the wire's names.

    The arguments stay data as they came, so that a request that is passed on says what it said.
    """

    call: str = field(name="f")
    f_kwargs: dict[str, Any] = field(default_factory=dict)
    request_type: RequestType = "local_master"
    wait_for_complete: bool = False
    from_cluster: bool = False
    is_async: bool = False
    local_client_arg: str | None = None
    basic_services: tuple[str, ...] = BASIC_SERVICES
    rbac_permissions: dict[str, Any] = field(default_factory=_PLAIN_RBAC.copy)
    current_user: str = ""
    broadcasting: bool = False
    nodes: tuple[str, ...] = ()
    api_timeout: Annotated[int, Meta(ge=0, le=10**9)] | Annotated[float, Meta(ge=0, le=1e9)] | None = None
    debug: bool = False
    remove_denied_nodes: bool = False

    def encode(self) -> bytes:
        """The JSON of this request: what the standard serialiser writes, and the two other keys where they are set."""
        return (_head(self.call) + _WRITER.encode(self.f_kwargs) + _rest(self)).encode()


_rest_before: tuple[Request, str] | None = None


@lru_cache(maxsize=256)
def _head(call: str) -> str:
    """The JSON up to the arguments."""
    return _WRITER.encode({"f": _wire_callable(call)})[:-1] + ', "f_kwargs": '


def _rest(request: Request) -> str:
    """The JSON behind the arguments, in which requests in a row seldom differ: so the one before is kept."""
    global _rest_before  # noqa: PLW0603  (a memory of one, replaced as a whole)
    rest = structs.replace(request, call="", f_kwargs={})
    if _rest_before is not None and rest == _rest_before[0]:
        return _rest_before[1]
    body = {name: getattr(rest, name) for name in _WRITTEN} | {name: True for name in _SELDOM if getattr(rest, name)}
    text = ", " + _WRITER.encode(body)[1:]
    if rest.rbac_permissions == _PLAIN_RBAC:  # what is kept is nobody's to change
        nodes, services = tuple(rest.nodes), tuple(rest.basic_services)
        _rest_before = structs.replace(rest, rbac_permissions=_PLAIN_RBAC, nodes=nodes, basic_services=services), text
    return text


_SELDOM: Final = ("debug", "remove_denied_nodes")
_WRITTEN: Final = tuple(name for name in Request.__struct_fields__ if name not in {"call", "f_kwargs", *_SELDOM})


def decode_request(payload: bytes, most_depth: int = MOST_DEPTH) -> Request:
    """Read a request; :class:`ValueError`, whose text the caller may be told, for anything that is none."""
    body = parse(payload)
    if payload.count(b"{") + payload.count(b"[") > most_depth and _is_deeper(body, most_depth):
        raise TooDeep(f"the request is nested deeper than {most_depth} levels")
    if isinstance(body, dict) and "f" in body:
        body["f"] = _call_name(body["f"])
    request = msgspec.convert(body, Request)
    if any(map(_is_no_text, request.nodes)):
        raise ValueError("the request names a node in letters that are none")
    return request


def _call_name(f: Any) -> str:
    callee = msgspec.convert({"f": f}, _Named).f.callee
    name = f"{callee.module}:{callee.qualname}" if callee.module else callee.qualname
    if _is_no_text(name) or not name.isprintable():
        raise ValueError("the request names a call in letters that are none")
    return name


class _Named(Struct, frozen=True):
    """So that an error's path begins at ``f``."""

    f: _Callable


def _wire_callable(call: str) -> dict[str, Any]:
    module, _, qualname = call.rpartition(":")
    name = qualname.rpartition(".")[2]
    parts = {"__name__": name, "__module__": module, "__qualname__": qualname, "__type__": "function"}
    return {"__callable__": parts}


def _is_no_text(text: str) -> bool:
    """Whether it holds half a character, which JSON allows and no file, log or terminal takes."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_deeper(value: Any, most: int) -> bool:
    """Whether containers stand within one another more than ``most`` deep; level by level, not by recursion."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
