"""Typed bodies: what a peer sends stays bytes until it is one of these."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from uuid import UUID

import pytest

from outrider.errors import Refusal
from outrider.protocol.bodies import (
    Hello,
    SharedPath,
    TaskFault,
    TransferPath,
    check_node_name,
    container_path,
    split_once,
    split_view,
    task_id,
)
from outrider.protocol.faults import Fault

# Specification 8.8.
ROOTED = b"/queue/cluster/worker1/worker1-1795466490.139966-1c7b36723bfe4e21a2a182d482ab90e1.zip"
UNIQUE = 0x1C7B36723BFE4E21A2A182D482AB90E1


def test_hello_is_four_words() -> None:
    hello = Hello("worker1", "wazuh", "worker", "4.9.2")
    assert hello.encode() == b"worker1 wazuh worker 4.9.2"
    assert Hello.decode(hello.encode()) == hello


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", r"not enough values to unpack \(expected 4, got 1\)"),
        (b"one two three", r"not enough values to unpack \(expected 4, got 3\)"),
        (b"one two three four five", r"too many values to unpack \(expected 4\)"),
        (b"\xff two three four", "utf-8"),
    ],
)
def test_another_number_of_words_is_refused_in_the_originals_words(payload: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Hello.decode(payload)


@pytest.mark.parametrize("name", ["worker1", "node-01.example.com", "_", "W" * 128, "1"])
def test_usual_node_names_are_taken(name: str) -> None:
    check_node_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "master",
        ".",
        "..",
        "../../x",
        "a/b",
        "/etc",
        "a\\b",
        "nul\0",
        "new\nline",
        "worker1\n",
        "w" * 129,
        "w" * 4096,
        "-option",
        ".hidden",
        "w\u043erker",
        "ﬁ",
        "wörker",
    ],
)
def test_threat_16_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="is refused: use letters"):
        check_node_name(name)


def test_a_transfer_path_as_in_8_8() -> None:
    path = container_path("worker1", 1795466490.139966, UNIQUE)
    assert path.rooted == ROOTED
    assert str(path).encode() == ROOTED[1:]
    assert TransferPath.decode(ROOTED, "worker1") == path
    assert TransferPath.decode(ROOTED[1:], "worker1") == path


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"/",
        b"/etc/shadow",
        b"/queue/cluster/worker1",
        b"/queue/cluster/worker1/",
        b"/queue/cluster/worker1/..",
        b"/queue/cluster/worker1/.hidden",
        b"/queue/cluster/worker1/../worker2/x.zip",
        b"/queue/cluster/worker2/x.zip",
        b"//queue/cluster/worker1/x.zip",
        b"/queue/cluster/worker1//x.zip",
        b"/queue/cluster/worker1/a b.zip",
        b"/queue/cluster/worker1/a\0.zip",
        b"/queue/cluster/worker1/a\\b.zip",
        b"/queue/cluster/worker1/\xff.zip",
        b"/queue/cluster/worker1/" + b"x" * 201,
        b"/tmp/x",
    ],
)
def test_threat_24_a_transfer_goes_nowhere_but_to_the_workers_folder(payload: bytes) -> None:
    with pytest.raises(Refusal, match="files go to queue/cluster/worker1/"):
        TransferPath.decode(payload, "worker1")


def test_a_file_of_a_program_has_the_same_path_on_both_ends() -> None:
    path = SharedPath.decode(b"/tmp/inner/a.txt", "tmp/")
    assert path == SharedPath(("tmp", "inner"), "a.txt")
    assert (path.rooted, str(path)) == (b"/tmp/inner/a.txt", "tmp/inner/a.txt")
    assert SharedPath.decode(b"tmp/inner/a.txt", "tmp/inner/") == path


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"/",
        b"/tmp",
        b"/tmp/",
        b"/tmp/..",
        b"/tmp/../etc/a",
        b"/tmp/a/../../b",
        b"/tmp//a",
        b"/tmpfs/a",
        b"/etc/shadow",
        b"/tmp/.outrider/lock",
        b"/tmp/.hidden",
        b"/tmp/a b",
        b"/tmp/a\0",
        b"/tmp/a\\b",
        b"/tmp/\xff",
        b"/tmp/" + b"x" * 201,
        b"/tmp/" + b"x/" * 600 + b"a",
    ],
)
def test_threat_24_a_file_of_a_program_goes_nowhere_but_to_the_shared_folder(payload: bytes) -> None:
    with pytest.raises(Refusal, match="files that programs send lie in tmp/"):
        SharedPath.decode(payload, "tmp/")


def test_a_peer_without_a_name_has_no_folder() -> None:
    with pytest.raises(Refusal):
        TransferPath.decode(b"/queue/cluster//x.zip", "")


def test_a_task_id_is_a_uuid4() -> None:
    assert task_id(0) == b"00000000-0000-4000-8000-000000000000"
    assert len(task_id(2**128 - 1)) == 36
    random = Random(1)
    for unique in (random.getrandbits(128) for _ in range(1000)):
        assert task_id(unique) == str(UUID(int=unique, version=4)).encode()


@pytest.mark.parametrize("split", [split_once, split_view])
def test_a_payload_is_cut_at_its_first_space(split: Callable[[bytes], tuple[bytes, bytes | memoryview]]) -> None:
    assert split(b"name \x00 bytes ") == (b"name", b"\x00 bytes ")
    assert split(b"name ") == (b"name", b"")
    with pytest.raises(ValueError, match=r"not enough values to unpack \(expected 2, got 1\)"):
        split(b"99")


def test_a_task_fault_names_its_task_or_none() -> None:
    for task in (None, b"62a58d52-6ff2-49aa-aca6-27429108bcdc"):
        report = TaskFault(task, Fault(3039, "why"))
        assert TaskFault.decode(report.encode()) == report
    assert TaskFault(None, Fault(3039)).encode().startswith(b"None {")
    for payload in (b"None", b"None zz", b""):
        with pytest.raises(ValueError, match=r"not enough values|Expecting value"):
            TaskFault.decode(payload)
