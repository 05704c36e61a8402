"""Every error has a code, by its class or where it is raised, and no code is without one that has it."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import outrider
from outrider.codes import Code
from outrider.errors import OutriderError, Refusal, RefusedByPeer

PACKAGE = Path(outrider.__file__).parent
BY_NUMBER = {Refusal, RefusedByPeer}
GENERAL = {"SettingsError", "Failure", "WrongSettings", "NoNode"}
"""Their class says too little: each place where one is raised says which situation it is."""
VALUES = {"protocol/faults.py", "relay/agents.py", "relay/calls.py", "relay/sendsync.py", "status.py", "trying.py"}
"""Here ``Failure`` is a value that tells of an error: the exception JSON of specification 7.2, a line of the status."""


def classes(root: type[OutriderError] = OutriderError) -> Iterator[type[OutriderError]]:
    for one in root.__subclasses__():
        yield one
        yield from classes(one)


def sources() -> dict[str, ast.Module]:
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_every_class_of_error_has_a_code() -> None:
    for found in pkgutil.walk_packages([str(PACKAGE)], "outrider."):
        if found.name != "outrider.__main__":
            import_module(found.name)
    ours = {one for one in classes() if one.__module__.startswith("outrider.")}
    assert len(ours) > 20
    without = {one for one in ours - BY_NUMBER if one.situation == Code.OTHER or one.situation not in set(Code)}
    assert not without


def test_every_place_that_raises_a_general_error_says_which_situation_it_is() -> None:
    told, without = 0, []
    for name, tree in sources().items():
        coded = {id(node.func.value) for node in ast.walk(tree) if _is_coded(node)}  # type: ignore[attr-defined]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GENERAL:
                if name in VALUES:
                    continue
                told += 1
                if id(node) not in coded and not _takes_a_code(node):
                    without.append(f"{name}:{node.lineno}: {node.func.id}")
    assert told > 40
    assert not without, "add .coded(Code.X), or the code as a second argument"


def _is_coded(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"coded", "like"}


def _takes_a_code(call: ast.Call) -> bool:
    """A code as the second argument; or lines that have codes of their own."""
    return len(call.args) > 1 or any(isinstance(one, ast.Starred) for one in call.args)


def test_every_code_is_in_use() -> None:
    texts = [
        path.read_text("utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.name != "codes.py" and path.parent.name != "explained"
    ]
    everything = "\n".join(texts)
    native = (PACKAGE.parents[1] / "rust/binding/src/error.rs").read_text("utf-8")
    unused = {one for one in Code if f"Code.{one.name}" not in everything and f'"{one}"' not in native}
    assert unused == {Code.REFUSED}  # it stands for numbers that are none of ours


def test_codes_are_of_one_form_and_each_is_one_situation() -> None:
    assert all(one.startswith("OUT-") and len(one) == 8 for one in Code)
    assert len(set(Code)) == len(Code.__members__)
