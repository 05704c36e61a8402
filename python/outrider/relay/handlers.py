"""The table of what a request may call: ``name -> handler``, and nothing else (threat 18).

A handler is a function with typed parameters::

    handlers = Handlers()


    @handlers.call("acme.uptime")
    async def uptime(context: Context, *, unit: Literal["s", "h"] = "s") -> float: ...

It is asynchronous, or plain and then run in a thread. A plain one that only looks at what is in memory is ``quick``:
it is called at once where the request has come in, without a task or a thread. A parameter of the type
:class:`Context` gets the node's services; every other one is an argument of the request, checked against its
annotation before the call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct, structs

from outrider.errors import Refusal
from outrider.protocol import faults
from outrider.protocol.results import RESULTS, revive
from outrider.relay.context import Context

P = ParamSpec("P")
T = TypeVar("T")

_NAME: Final = re.compile(r"([A-Za-z_][\w.]{0,127}:)?[A-Za-z_][\w.]{0,127}", re.ASCII)
_ORDINARY: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Handler:
    """One row of the table; ``signature`` is its name and its arguments, for people."""

    name: str
    function: Callable[..., Any]
    arguments: type[Struct]
    returns: Any
    context: str | None
    plain: bool
    quick: bool
    signature: str

    def bind(self, given: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The arguments for the function; :class:`Refusal` names the one that is unknown, missing or mistyped."""
        try:
            read = msgspec.convert(revive(dict(given)), self.arguments)
        except (ValueError, RecursionError) as error:
            why = str(error).replace("Object", "the request").replace("field", "argument").replace(" - at `$.", ": `")
            raise Refusal(faults.INTERNAL, f"{self.name} does not take these arguments: {why}") from error
        arguments = structs.asdict(read)
        if self.context is not None:
            arguments[self.context] = context
        return arguments

    def check(self, answer: Any) -> Any:
        """The answer, if it is what the function promises; :class:`ValueError` otherwise."""
        if self.returns is Any or isinstance(answer, RESULTS):
            return answer
        return msgspec.convert(answer, self.returns)


class Handlers(Mapping[str, Handler]):
    """See the module."""

    def __init__(self) -> None:
        self._rows: dict[str, Handler] = {}

    def __getitem__(self, name: str) -> Handler:
        """The handler of this name."""
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._rows)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows)

    def find(self, name: str) -> Handler:
        """The handler that a request names; :class:`Refusal` if there is none, whatever the name means elsewhere."""
        if (handler := self._rows.get(name)) is None:
            raise Refusal(faults.INTERNAL, f"this node has no call named {name[:200]!r}; outrider.calls lists them")
        return handler

    def call(self, name: str, *, quick: bool = False) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Put the decorated function into the table; :class:`ValueError` says why it cannot stand there."""

        def add(function: Callable[P, T]) -> Callable[P, T]:
            self.add(handler(name, function, quick=quick))
            return function

        return add

    def add(self, *rows: Handler) -> None:
        """Put all of ``rows`` into the table, or none: :class:`ValueError` where a name is taken."""
        for row in rows:
            if row.name in self._rows:
                raise ValueError(f"the name {row.name} is taken")
        self._rows |= {row.name: row for row in rows}


def handler(name: str, function: Callable[..., Any], *, quick: bool = False) -> Handler:
    """The row of ``function``; :class:`ValueError` if it cannot be one."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:200]!r} is no name for a call: use acme.uptime, or module:function of a wire name")
    hints = get_type_hints(function, include_extras=True)
    context: str | None = None
    fields: list[tuple[str, Any, Any]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _ORDINARY or parameter.name not in hints:
            raise ValueError(f"{name}: the parameter {parameter} needs a name and a type of its own")
        if hints[parameter.name] is Context:
            context = parameter.name
        else:
            default = NODEFAULT if parameter.default is parameter.empty else parameter.default
            fields.append((parameter.name, hints[parameter.name], default))
    try:
        arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True, frozen=True)
        returns = _promise(hints.get("return", Any))
        for kind in (arguments, returns):
            _try(kind)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error
    plain = not inspect.iscoroutinefunction(function)
    if quick and not plain:
        raise ValueError(f"{name}: a quick call never waits, so it is a plain function")
    shown = ", ".join(_shown(field, get_type_hints(function)) for field in structs.fields(arguments))
    return Handler(name, function, arguments, returns, context, plain, quick, f"{name}({shown})")


def _promise(annotation: Any) -> Any:
    """What an answer is checked against once the protocol's own results are let through."""
    if get_origin(annotation) in (Union, UnionType):
        data = tuple(kind for kind in get_args(annotation) if kind not in RESULTS)
        return Union[data] if data else RESULTS[0]  # noqa: UP007  (the members are known when it runs)
    return annotation


def _try(kind: Any) -> None:
    """Whether values can be checked against this type at all; :class:`TypeError` otherwise."""
    try:
        msgspec.convert(None, kind)
        msgspec.convert({}, kind)
    except msgspec.ValidationError:
        return


def _shown(field: structs.FieldInfo, kinds: Mapping[str, Any]) -> str:
    kind = kinds[field.name]
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    return f"{field.name}: {text}" + ("" if field.required else f" = {field.default!r}")
