"""Words to the service manager, read off a real socket as it would read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.manager import Manager

from outrider.transport.notify import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path, abstract=request.param == "abstract") as manager:
        yield manager


def test_words_arrive_together_and_a_text_has_one_line(manager: Manager) -> None:
    teller = ServiceManager.of(manager.environment)
    assert teller is not None
    teller.tell(READY=1, STATUS="in step\nMAINPID=1")
    assert manager.next() == {"READY": "1", "STATUS": "in step"}
    teller.close()


def test_nobody_is_told_where_no_socket_is_named() -> None:
    assert ServiceManager.of({}) is None
    assert ServiceManager.of({"NOTIFY_SOCKET": ""}) is None
    assert ServiceManager.of({"NOTIFY_SOCKET": "vsock:2:1"}) is None


def test_a_manager_that_is_gone_or_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    gone = ServiceManager(str(tmp_path / "nowhere"))
    gone.tell(READY=1)
    gone.close()
    with Manager(tmp_path) as manager:
        teller = ServiceManager.of(manager.environment)
        assert teller is not None
        for _ in range(2000):
            teller.tell(STATUS="x" * 1000)
        teller.close()


@pytest.mark.parametrize(
    ("variables", "beat_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_sign_of_life_is_due_at_half_of_what_the_watchdog_waits(
    variables: dict[str, str], beat_s: float | None
) -> None:
    teller = ServiceManager.of({"NOTIFY_SOCKET": "@nobody", **variables})
    assert teller is not None
    assert teller.beat_s == beat_s
    teller.close()
