"""Bodies: writing and reading are inverse; what is no body raises what the module documents and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import Refusal
from outrider.protocol.bodies import (
    Hello,
    TaskFault,
    TransferPath,
    check_node_name,
    container_path,
    split_once,
    split_view,
    task_id,
)
from outrider.protocol.faults import Fault

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" "))
NODES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}", fullmatch=True).filter(lambda name: name != "master")
FAULTS = st.builds(Fault, st.integers(0, 9999), st.none() | st.text())


@given(WORDS, WORDS, WORDS, WORDS)
def test_hello(node: str, cluster: str, kind: str, version: str) -> None:
    hello = Hello(node, cluster, kind, version)
    assert Hello.decode(hello.encode()) == hello


@given(NODES, st.floats(0, 2**40), st.integers(0, 2**128 - 1))
def test_a_containers_path_is_one_that_the_receiver_takes(node: str, wall: float, unique: int) -> None:
    check_node_name(node)
    path = container_path(node, wall, unique)
    assert TransferPath.decode(path.rooted, node) == path
    assert TransferPath.decode(str(path).encode(), node) == path


@given(st.integers(0, 2**128 - 1) | st.none(), FAULTS)
def test_a_task_fault(unique: int | None, fault: Fault) -> None:
    report = TaskFault(None if unique is None else task_id(unique), fault)
    assert TaskFault.decode(report.encode()) == report


@given(st.binary(), NODES)
def test_threat_24_no_bytes_name_a_file_elsewhere(payload: bytes, node: str) -> None:
    for candidate in (payload, f"/queue/cluster/{node}/".encode() + payload):
        try:
            path = TransferPath.decode(candidate, node)
        except Refusal:
            continue
        assert path.worker == node
        assert "/" not in path.name
        assert not path.name.startswith(".")
        assert path.name.isascii()


@given(st.binary())
def test_rubbish_raises_value_errors(payload: bytes) -> None:
    for decode in (Hello.decode, TaskFault.decode, split_once, split_view):
        try:
            decode(payload)
        except ValueError:
            continue


@given(st.text())
def test_threat_16_a_name_is_taken_or_refused(name: str) -> None:
    try:
        check_node_name(name)
    except Refusal as refusal:
        assert refusal.code == 1000  # noqa: PT017  (either outcome is right)
    else:
        assert name.isascii()
        assert not set(name) & set("/\\\0 \n")
