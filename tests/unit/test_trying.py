"""What the log and the status hear of something that is tried again, and pauses that end early."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.support.loop import EPOCH, run
from tests.support.network import Fabric
from tests.support.ports import Highest, simulated_ports

from outrider.errors import Awaits, HeldBackError, OutriderError, ReportedError, StoreError, SyncError, TransportError
from outrider.logs import Tag, task_logger
from outrider.status import Retrying, Status
from outrider.trying import STABLE_S, Tries


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, "outrider"):
        yield


def tries_of(status: Status, quiet: type[OutriderError] | None = None) -> Tries:
    ports = simulated_ports(Fabric(Random(1)), "node01", random=Highest())
    return Tries("the work", ports, task_logger(Tag.CLUSTER, "node01"), status, base_s=1, cap_s=8, quiet=quiet)


def told(caplog: pytest.LogCaptureFixture, least: int = logging.INFO) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.levelno >= least]


def test_an_hour_of_the_same_failure_is_a_few_lines_one_alarm_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with tries_of(Status()) as tries:
            for _ in range(450):
                tries.failed(TransportError("nobody listens"))
                await tries.pause()
            tries.worked()

    run(story())
    assert told(caplog) == [
        *(("WARNING", f"the work failed, again in {pause}.0 s: nobody listens") for pause in (1, 2, 4, 8)),
        ("ERROR", "the work failed 7 times within 31 s, and more of it is only counted: nobody listens"),
        ("WARNING", "the work works again after 450 failures in 60 min"),
    ]


def test_what_a_person_must_mend_is_one_alarm_with_the_pause(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with tries_of(Status()) as tries:
            for _ in range(12):
                tries.failed(HeldBackError("run: outrider approve"))
                await tries.pause()
        assert asyncio.get_running_loop().time() == 3600

    run(story())
    assert told(caplog) == [("ERROR", "the work: run: outrider approve; trying again every 300 s")]


def test_what_the_peer_tries_again_is_one_alarm_without_a_pause_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with tries_of(Status()) as tries:
            for _ in range(12):
                tries.failed(ReportedError("the worker reports: no room"), asked=True)

    run(story())
    assert told(caplog) == [("ERROR", "the work: the worker reports: no room")]


def test_what_is_a_part_of_the_work_is_quiet_until_it_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with tries_of(Status(), quiet=SyncError) as tries:
            tries.failed(SyncError("a file is being written"))
            tries.worked()
            assert told(caplog) == []
            for _ in range(20):
                tries.failed(SyncError("a file is being written"))
                await tries.pause()
            tries.failed(StoreError("no room"))

    run(story())
    assert [level for level, _ in told(caplog)] == ["ERROR", "WARNING"]


def test_the_status_shows_what_is_tried_again_until_it_works_or_nobody_tries() -> None:
    async def story() -> None:
        status = Status()
        with tries_of(status) as tries:
            tries.failed(TransportError("nobody listens"))
            await tries.pause()
            tries.failed(StoreError("no room").until(Awaits("space", "/srv")))
            assert status.snapshot().retries == {
                "the work": Retrying(
                    nature="temporary",
                    failures=2,
                    since=EPOCH,
                    reason="no room",
                    next_try=EPOCH + 3,
                    awaits="space /srv",
                    code="OUT-1701",
                )
            }
            tries.worked()
            assert status.snapshot().retries == {}
            tries.failed(TransportError("nobody listens"))
        assert status.snapshot().retries == {}

    run(story())


def test_a_pause_ends_within_a_second_when_the_cause_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        loop, file = asyncio.get_running_loop(), tmp_path / "key"
        with tries_of(Status()) as tries:
            tries.failed(HeldBackError("no key").until(Awaits("file", str(file))))
            loop.call_later(100, file.touch)
            await tries.pause()
            assert 100 <= loop.time() <= 101
            tries.failed(HeldBackError("no key").until(Awaits("file", str(file))))
            began = loop.time()
            await tries.pause()
            assert loop.time() - began == pytest.approx(300)

    run(story())
    assert told(caplog)[1:] == [("INFO", f"the work: the file {tmp_path / 'key'} is another now; trying again at once")]


@pytest.mark.parametrize(("seconds", "next_pause"), [(STABLE_S - 1, 4), (STABLE_S + 1, 1)])
def test_what_goes_on_for_a_minute_works(seconds: float, next_pause: float) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with tries_of(Status()) as tries:
            for _ in range(2):
                tries.failed(TransportError("no"))
                await tries.pause()
            with tries.holding():
                await asyncio.sleep(seconds)
            tries.failed(TransportError("no"))
            began = loop.time()
            await tries.pause()
            assert loop.time() - began == next_pause

    run(story())


def test_a_defect_is_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with tries_of(Status()) as tries:
            tries.failed(RuntimeError("a defect"))

    run(story())
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.levelno == logging.ERROR
