"""Each line names its node, peer, process and task, and stays one line whatever a peer sent."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from outrider.errors import StoreError
from outrider.logs import HumanFormatter, JsonFormatter, Tag, configure, task_logger
from outrider.settings import Settings
from outrider.working import Shares

KEY = "Zk3_" * 8


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the command line would write; the logging of the test run is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("outrider")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    stream = io.StringIO()
    configure("INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def test_a_line_carries_node_peer_tag_and_task(stream: io.StringIO) -> None:
    log = task_logger(Tag.INTEGRITY_SYNC, "worker1", peer="master", task="3f2a08c1-6ff2-49aa-aca6-27429108bcdc")
    log.info("%d files written", 3)
    line = stream.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    "
        r"\[worker1\] \[peer master\] \[Integrity sync\] \[task 3f2a08c1\] 3 files written\n",
        line,
    )


def test_unknown_parts_are_left_out(stream: io.StringIO) -> None:
    task_logger(Tag.KEEP_ALIVE, "worker1").warning("late")
    assert stream.getvalue().endswith("WARNING [worker1] [Keep alive] late\n")


def test_a_task_of_a_process_keeps_its_other_fields() -> None:
    log = task_logger(Tag.INTEGRITY_CHECK, "node01", peer="worker1", task="abc")
    assert log.fields == {"node": "node01", "peer": "worker1", "tag": "Integrity check", "task": "abc"}


def test_a_host_finds_the_fields_on_the_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="outrider"):
        task_logger("Agent-groups recv full", "w", task="t").info("x", extra={"more": 1})
    (record,) = caplog.records
    assert record.name == "outrider.agent_groups_recv_full"
    assert {name: vars(record)[name] for name in ("node", "peer", "tag", "task", "more")} == {
        "node": "w",
        "peer": None,
        "tag": "Agent-groups recv full",
        "task": "t",
        "more": 1,
    }


def test_what_a_peer_sent_cannot_start_or_colour_a_line(stream: io.StringIO) -> None:
    task_logger(Tag.CLUSTER, "node01", peer="a\nb").error("name %s", "x\n2026 ERROR [node01] y\x1b[31m\u202e")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_what_a_peer_sent_makes_no_line_of_any_length(stream: io.StringIO) -> None:
    task_logger(Tag.CLUSTER, node="n").error("not read: %s", "x" * 100_000)
    (line,) = stream.getvalue().splitlines()
    assert len(line) < 8500
    assert line.endswith("x... (91,818 more characters)")


def test_a_traceback_keeps_its_lines(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("bad \x1b")

    try:
        fail()
    except ValueError:
        task_logger(Tag.CLUSTER, "node01").exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ValueError: bad \\x1b"


def test_lines_of_other_libraries_keep_their_shape() -> None:
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "loop %s", ("x",), None)
    assert HumanFormatter().format(record).endswith("ERROR   [asyncio] loop x")


def test_configuring_twice_writes_each_line_once(stream: io.StringIO) -> None:
    configure("WARNING", stream)
    task_logger(Tag.CLUSTER, "n").info("quiet")
    task_logger(Tag.CLUSTER, "n").warning("loud")
    assert stream.getvalue().count("\n") == 1


def test_settings_in_a_line_do_not_show_the_key(stream: io.StringIO) -> None:
    settings = Settings.from_mapping({"link": {"key": KEY, "previous_keys": [KEY[::-1]]}})
    task_logger(Tag.CLUSTER, "n").info("%s %r", settings, settings.link)
    assert "<hidden>" in stream.getvalue()
    assert KEY not in stream.getvalue()
    assert KEY[::-1] not in stream.getvalue()


def test_the_library_leaves_the_logging_of_its_host_alone() -> None:
    code = (
        "import logging, outrider.logs; outrider.logs.task_logger('Cluster', 'n').info('x');"
        "ours = logging.getLogger('outrider'); print(ours.handlers, ours.level, logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[] 0 []\n", "")


def test_a_line_that_tells_of_an_error_of_ours_carries_its_code(
    stream: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    log = task_logger(Tag.CLUSTER, "w")
    with caplog.at_level(logging.INFO, logger="outrider"):
        log.error("it failed: %s; again later", StoreError("no room", errno.ENOSPC))
        log.error("it failed: %s", ValueError("no error of ours"))
    ours, other = caplog.records
    assert (vars(ours)["code"], hasattr(other, "code")) == ("OUT-1702", False)
    assert (ours.filename, ours.funcName) == (
        "test_logs.py",
        "test_a_line_that_tells_of_an_error_of_ours_carries_its_code",
    )
    first, second = stream.getvalue().splitlines()
    assert first.endswith("it failed: no room; again later [OUT-1702]")
    assert second.endswith("it failed: no error of ours")


KEYS = ["time", "level", "node", "peer", "tag", "task", "code", "message", "exception"]


def as_json(stream: io.StringIO) -> list[dict[str, object]]:
    """Each line, which must be one object with all keys."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(list(line) == KEYS for line in lines)
    return lines


def test_a_line_of_json_has_every_key(stream: io.StringIO) -> None:
    configure("INFO", stream, form="json", node="worker1")
    task_logger(Tag.INTEGRITY_SYNC, "worker1", peer="master", task="3f2a08c1").info("%d files written", 3)
    task_logger(Tag.CLUSTER, "worker1").warning("alone")
    first, second = as_json(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(first.pop("time")))
    assert first == {
        "level": "INFO",
        "node": "worker1",
        "peer": "master",
        "tag": "Integrity sync",
        "task": "3f2a08c1",
        "code": None,
        "message": "3 files written",
        "exception": None,
    }
    assert (second["peer"], second["task"], second["tag"], second["message"]) == (None, None, "Cluster", "alone")


def test_lines_of_other_libraries_name_the_node_as_well(stream: io.StringIO) -> None:
    configure("INFO", stream, form="json", node="worker1")
    logging.getLogger("asyncio").error("loop")
    (line,) = as_json(stream)
    assert (line["node"], line["message"]) == ("worker1", "loop")


def test_a_defect_stays_one_line_of_json(stream: io.StringIO) -> None:
    configure("INFO", stream, form="json")
    try:
        int("bad")
    except ValueError:
        task_logger(Tag.CLUSTER, "n").exception("failed")
    (line,) = as_json(stream)
    assert str(line["exception"]).startswith("Traceback")
    assert str(line["exception"]).endswith("with base 10: 'bad'")


def test_what_a_peer_sent_stays_inside_its_line_of_json(stream: io.StringIO) -> None:
    configure("INFO", stream, form="json")
    hostile = 'x\n{"level": "ERROR"}\x1b[31m\u2028\u202e"'
    task_logger(Tag.CLUSTER, "n", peer=hostile).error("name %s", hostile)
    (line,) = as_json(stream)
    assert line["message"] == f"name {hostile}"
    assert line["peer"] == hostile
    assert stream.getvalue().isascii()
    assert "\x1b" not in stream.getvalue()


def test_all_lines_of_a_round_share_its_number(stream: io.StringIO) -> None:
    configure("INFO", stream, form="json")
    shares, log = Shares(), task_logger(Tag.INTEGRITY_CHECK, "n")
    for _ in range(2):
        with shares.working():
            log.info("begins")
            task_logger(Tag.INTEGRITY_SYNC, "n", task="of the wire").info("has its own")
            log.info("ends")
    log.info("outside")
    tasks = [line["task"] for line in as_json(stream)]
    assert tasks == ["00000001", "of the wire", "00000001", "00000002", "of the wire", "00000002", None]


def test_the_formatter_serves_a_host_as_it_is() -> None:
    record = logging.LogRecord("acme", logging.INFO, "", 0, "hello %s", ("x",), None)
    assert json.loads(JsonFormatter().format(record))["message"] == "hello x"
