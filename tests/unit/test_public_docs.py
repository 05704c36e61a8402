"""Every public name is described: what it is in sentences, with types, units and the errors that it raises."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, get_args

import pytest

import outrider
from outrider.integrations import dask

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
_UNIT = re.compile(r"_s$|_bytes$|_items$|second|byte|Unix|number|port|code|id\b|how many|percent", re.IGNORECASE)
_PLAIN = {"__init__", "__aenter__", "__aexit__", "__enter__", "__exit__"}


class Named(NamedTuple):
    """One thing that a program may use: its name, what it is, and whose it is, if it belongs to a class."""

    name: str
    what: Any
    owner: type | None = None

    @property
    def doc(self) -> str:
        """Its own description, or the one that it refers to."""
        doc = inspect.getdoc(self.what) or ""
        elsewhere = re.fullmatch(r"See :meth:`(\w+\.\w+)`\.", doc)
        return EVERYTHING[elsewhere[1]].doc if elsewhere else doc

    @property
    def all_docs(self) -> str:
        """What is said of it here, and of its class and that one's bases of ours."""
        return "\n".join([self.doc, *(one.__doc__ or "" for one in self._classes())])

    @property
    def function(self) -> Callable[..., Any] | None:
        """What can be called."""
        what = self.what.fget if isinstance(self.what, property) else self.what
        what = getattr(what, "__func__", what)
        if not isinstance(what, FunctionType) or what.__code__.co_filename.startswith("<"):
            return None  # that of a dataclass is written by Python
        return what if what.__module__.startswith("outrider") else None

    def _classes(self) -> Iterator[type]:
        for one in (self.owner or (self.what if isinstance(self.what, type) else object)).__mro__:
            if one.__module__.startswith("outrider"):
                yield one


def public() -> Iterator[Named]:
    places = [(outrider, outrider.__all__), (dask, ["KeptFolder", "kept", "wait_for"])]
    for place, names in places:
        for name in names:
            what = getattr(place, name)
            yield Named(name, what)
            if isinstance(what, type):
                yield from members(name, what)


def members(name: str, owner: type) -> Iterator[Named]:
    for base in owner.__mro__:
        if not base.__module__.startswith("outrider"):
            continue
        for member, what in vars(base).items():
            if member.startswith("_") and member not in _PLAIN:
                continue
            if isinstance(what, FunctionType | classmethod | staticmethod | property):
                yield Named(f"{name}.{member}", what, owner)


EVERYTHING = {one.name: one for one in public()}


def described(one: Named) -> Iterator[str]:
    """What is wrong with a description."""
    if one.name.endswith(".__init__"):  # the class describes what it is made of
        return
    if not one.doc:
        yield "it has no docstring"
    elif not re.match(r"[A-Z`0-9:]|an? ", one.doc) or not re.search(r"[.:`]\s*$|\.\s", one.doc.split("\n\n")[0]):
        yield f"its first paragraph is no sentence: {one.doc.split(chr(10))[0]!r}"


def typed(one: Named) -> Iterator[str]:
    """Parameters and results without a type."""
    if (function := one.function) is None:
        return
    signature = inspect.signature(function)
    for parameter in list(signature.parameters.values())[1 if one.owner else 0 :]:
        if parameter.annotation is parameter.empty:
            yield f"the parameter {parameter.name} has no type"
    if signature.return_annotation is signature.empty:
        yield "its result has no type"


def in_units(one: Named) -> Iterator[str]:
    """Numbers of which nobody says what they count."""
    if (function := one.function) is not None:
        numbers = [name for name, kind in function.__annotations__.items() if _is_number(kind)]
    elif isinstance(one.what, type):
        numbers = [name for name, kind in vars(one.what).get("__annotations__", {}).items() if _is_number(kind)]
    else:
        return
    for name in numbers:
        if not (_UNIT.search(name) or _UNIT.search(one.all_docs)):
            yield f"the number {name} has no unit"


def _is_number(kind: Any) -> bool:
    if isinstance(kind, str):
        return bool(re.search(r"\b(float|int)\b", kind))
    return kind in {int, float} or bool({int, float} & set(get_args(kind)))


def raises(one: Named) -> Iterator[str]:
    """Errors that its own lines raise, and that no description names."""
    if (function := one.function) is None:
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            error = node.exc.func.id
            if error[0] != "_" and error not in one.all_docs:
                yield f"nobody says that it raises {error}"


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("rule", [described, typed, in_units, raises], ids=lambda rule: rule.__name__)
def test_every_public_name_is_described(rule: Callable[[Named], Iterator[str]], name: str) -> None:
    assert list(rule(EVERYTHING[name])) == []


def test_every_public_name_stands_in_the_reference() -> None:
    text = "\n".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    listed = set(re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE))
    assert {name for name in EVERYTHING if "." not in name} - listed == set()


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (described, "its first paragraph is no sentence: 'nothing'"),
        (typed, "the parameter much has no type"),
        (in_units, "the number result has no unit"),
        (raises, "nobody says that it raises ValueError"),
    ],
)
def test_the_rules_find_what_is_missing(rule: Callable[[Named], Iterator[str]], wrong: str) -> None:
    def poor(much, result: float):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """nothing"""
        raise ValueError(much, result)

    poor.__module__ = "outrider"
    assert wrong in list(rule(Named("poor", poor)))
