"""The client on a real socket: a few connections, each with one request, and no answer taken for another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from tests.support.wazuh_db import Fault, WazuhDbDaemon
from tests.support.wazuh_db_clients import client_of, until

from outrider.errors import RecordsRefused, StoreBusyError, StoreError
from outrider.store.wazuh_db.client import NotSentError
from outrider.store.wazuh_db.replies import Reply

LIMIT_S = 0.05
"""Long enough to send a request, short enough to wait for; a test that meets it never gets an answer."""


async def echo(request: bytes) -> Sequence[bytes]:
    await asyncio.sleep(0)
    return [b"ok " + request]


def test_one_connection_serves_one_after_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            for number in range(5):
                assert await client.request(b"%d" % number) == Reply("ok", b"%d" % number)
            assert len(daemon.connections) == 1
            await client.close()

    asyncio.run(story())


def test_many_at_one_time_share_two_connections_and_each_gets_its_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            replies = await asyncio.gather(*(client.request(b"%d" % number) for number in range(50)))
            assert [reply.payload for reply in replies] == [b"%d" % number for number in range(50)]
            assert (daemon.most_at_work, len(daemon.connections)) == (2, 2)
            await client.close()

    asyncio.run(story())


def test_a_late_answer_is_nobodys(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client, slow = client_of(daemon, timeout_s=LIMIT_S), asyncio.Event()
            daemon.faults.append(Fault(until=slow))
            with pytest.raises(StoreBusyError, match=r"within 0\.05 s \(agents\.database_timeout\)"):
                await client.request(b"first")
            slow.set()
            client._timeout_s = 30
            assert await client.request(b"second") == Reply("ok", b"second")
            assert len(daemon.connections) == 2
            await client.close()

    asyncio.run(story())


def test_a_request_that_is_cancelled_takes_its_connection_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client, slow = client_of(daemon), asyncio.Event()
            daemon.faults.append(Fault(until=slow))
            asked = asyncio.ensure_future(client.request(b"first"))
            await until(lambda: daemon.requests)
            asked.cancel()
            slow.set()
            assert await client.request(b"second") == Reply("ok", b"second")
            assert len(daemon.connections) == 2
            await client.close()

    asyncio.run(story())


def test_waiting_for_a_free_connection_counts_and_nothing_was_sent(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon, timeout_s=LIMIT_S)
            async with client._places, client._places:
                with pytest.raises(NotSentError, match=r"no connection to wazuh-db was free within 0\.05 s"):
                    await client.request(b"x")
            assert daemon.requests == []
            await client.close()

    asyncio.run(story())


@pytest.mark.parametrize("cut", [0, 3, 6])
def test_a_connection_that_ends_in_an_answer_is_replaced(tmp_path: Path, cut: int) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            daemon.faults.append(Fault(cut=cut))
            with pytest.raises(StoreBusyError, match="closed the connection before it had answered"):
                await client.request(b"first")
            assert await client.request(b"second") == Reply("ok", b"second")
            await client.close()

    asyncio.run(story())


def test_no_daemon_there_and_then_one_again(tmp_path: Path) -> None:
    async def story() -> None:
        daemon = WazuhDbDaemon(tmp_path / "wdb", echo)
        client = client_of(daemon)
        with pytest.raises(NotSentError, match=r"cannot reach wazuh-db at .*/wdb \(agents\.wazuh_db_socket\): No such"):
            await client.request(b"first")
        async with daemon:
            assert await client.request(b"second") == Reply("ok", b"second")
        await until(lambda: not client._idle[0].usable)
        async with WazuhDbDaemon(tmp_path / "wdb", echo):
            assert await client.request(b"third") == Reply("ok", b"third")
            await client.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    "raw", [b"\1\0\1\0", b"\xff\xff\xff\xff", b"\4\0\0\0what", b"\0\0\0\0"], ids=["large", "huge", "word", "empty"]
)
def test_an_answer_that_is_none_is_an_error_and_ends_its_connection(tmp_path: Path, raw: bytes) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            daemon.faults.append(Fault(raw=raw))
            with pytest.raises(StoreError) as caught:
                await client.request(b"first")
            assert type(caught.value) is StoreError
            assert await client.request(b"second") == Reply("ok", b"second")
            assert len(daemon.connections) == 2
            await client.close()

    asyncio.run(story())


def test_more_frames_than_one_confuse_nobody(tmp_path: Path) -> None:
    async def streamed(request: bytes) -> Sequence[bytes]:
        return [b"due 1", b"due 2", b"ok"] if request == b"all" else [b"ok " + request]

    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", streamed) as daemon:
            client = client_of(daemon)
            for number in range(10):
                assert await client.request(b"all") == Reply("due", b"1")
                assert await client.request(b"%d" % number) == Reply("ok", b"%d" % number)
            await client.close()

    asyncio.run(story())


def test_what_nobody_asked_for_ends_the_connection(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            daemon.faults.append(Fault(raw=b"\2\0\0\0ok\2\0\0\0ok"))
            assert await client.request(b"first") == Reply("ok", b"")
            assert await client.request(b"second") == Reply("ok", b"second")
            daemon.faults.append(Fault(raw=b"\2\0\0\0ok\2\0"))
            assert await client.request(b"third") == Reply("ok", b"")
            assert await client.request(b"fourth") == Reply("ok", b"fourth")
            assert len(daemon.connections) == 3
            await client.close()

    asyncio.run(story())


def test_an_err_is_a_reply_of_a_request_and_an_error_of_a_question(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            daemon.faults.append(Fault(say=b"err no", times=2))
            assert await client.request(b"x") == Reply("err", b"no")
            with pytest.raises(RecordsRefused, match=r"^no$"):
                await client.ask(b"x")
            assert len(daemon.connections) == 1
            await client.close()

    asyncio.run(story())


def test_a_client_that_is_closed_tells_who_waits_and_who_comes(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            client = client_of(daemon)
            daemon.faults.append(Fault(until=asyncio.Event()))
            asked = asyncio.ensure_future(client.request(b"first"))
            await until(lambda: daemon.requests)
            await client.close()
            with pytest.raises(StoreBusyError):
                await asked
            with pytest.raises(NotSentError, match="closed"):
                await client.request(b"second")
            await until(lambda: not daemon.open)

    asyncio.run(story())


def test_the_stand_in_loses_a_thread_to_an_oversized_request_as_the_real_one_does(tmp_path: Path) -> None:
    async def story() -> None:
        async with WazuhDbDaemon(tmp_path / "wdb", echo) as daemon:
            for lost in range(1, 9):
                _, writer = await asyncio.open_unix_connection(daemon.path)
                writer.write(b"\1\0\1\0")
                await until(partial(daemon.has_lost, lost))
                writer.close()
                await writer.wait_closed()
            client = client_of(daemon, timeout_s=LIMIT_S)
            with pytest.raises(StoreBusyError):
                await client.request(b"anybody?")
            with pytest.raises(RecordsRefused):
                await client.request(b"x" * 65_537)
            assert daemon.requests == []
            await client.close()

    asyncio.run(story())
