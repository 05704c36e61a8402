"""The server of a node: bounded, patient with a port that is taken, gone when its node is."""

from __future__ import annotations

import asyncio
import json
import logging
import socket

import pytest
from tests.support.watched import Shown, fetch, served

from outrider.errors import TransportError
from outrider.http import server
from outrider.overview import Overview


def test_it_serves_and_leaves_the_port_when_it_ends() -> None:
    async def story() -> int:
        async with served(Shown()) as port:
            assert (await fetch(port, "/healthz")).text == "ok\n"
        with pytest.raises(ConnectionRefusedError):
            await fetch(port, "/healthz")
        return port

    assert asyncio.run(story()) > 0


def test_a_port_that_is_taken_is_an_error_that_is_tried_again() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            node = Shown(port=taken.getsockname()[1])
            with pytest.raises(TransportError, match=r"cannot listen on 127\.0\.0\.1:.*in use"):
                await server(node).run()

    asyncio.run(story())


def test_connections_beyond_the_limit_are_closed_and_counted() -> None:
    async def story() -> None:
        node = Shown(connections=2)
        async with served(node) as port:
            kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for _, writer in kept:
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
            turned_away, closing = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(turned_away.readexactly(1), 10)
            closing.close()
            assert node.status.snapshot().limits_hit == {"http.connections": 1}
            for reader, writer in kept:
                writer.write(b"\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
                writer.close()
            assert (await fetch(port, "/healthz")).code == 200

    asyncio.run(story())


def test_a_connection_that_says_nothing_ends_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        node = Shown(connection_s=0.05)
        async with served(node) as port:
            silent, slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            slow[1].write(b"GET /healthz HTTP/1.1\r\nhost: loc")
            for reader, writer in (silent, slow):
                assert await asyncio.wait_for(reader.read(), 10) == b""
                writer.close()
        assert node.status.snapshot().limits_hit == {"http.connection_s": 2}

    with caplog.at_level(logging.DEBUG, "outrider"):
        asyncio.run(story())
    assert "a connection was closed (http.connection_s)" in caplog.messages


def test_one_that_does_not_read_its_answer_ends_and_is_counted() -> None:
    async def story() -> None:
        node = Shown(connection_s=0.05)
        asked = asyncio.Event()

        async def for_ever() -> Overview:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        node.cluster = for_ever  # type: ignore[method-assign]
        async with served(node) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await asked.wait()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
            writer.close()
            assert node.status.snapshot().limits_hit == {"http.connection_s": 1}

    asyncio.run(story())


def test_whoever_is_being_answered_when_the_node_stops_gets_the_answer() -> None:
    async def story() -> None:
        node = Shown()
        asked, may = asyncio.Event(), asyncio.Event()
        plain = node.cluster

        async def slowly() -> object:
            asked.set()
            await may.wait()
            return await plain()

        node.cluster = slowly  # type: ignore[method-assign,assignment]
        async with served(node) as port:
            answer = asyncio.create_task(fetch(port, "/status"))
            await asked.wait()
            asyncio.get_running_loop().call_later(0.05, may.set)  # while the server ends
        assert json.loads((await answer).text)["node"]["name"] == "node01"

    asyncio.run(story())


def test_the_logging_of_the_host_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    before = {name: logging.getLogger(name).handlers[:] for name in ("", "uvicorn", "uvicorn.access", "uvicorn.error")}

    async def story() -> None:
        async with served(Shown()) as port:
            await fetch(port, "/healthz")

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    assert {name: logging.getLogger(name).handlers[:] for name in before} == before
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]
    assert any("the page is at http://127.0.0.1:" in record.getMessage() for record in caplog.records)


def test_an_address_that_others_reach_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def story(address: str) -> int:
        caplog.clear()
        async with served(Shown(bind_addr=address)):
            return sum(record.levelname == "WARNING" for record in caplog.records)

    assert asyncio.run(story("0.0.0.0")) == 1
    assert asyncio.run(story("127.0.0.1")) == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"a" * 200_000,
    ],
)
def test_what_is_no_request_is_refused_and_fills_no_log(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> bytes:
        async with served(Shown()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_)
            answer = await reader.readline()
            writer.close()
            assert (await fetch(port, "/healthz")).code == 200
        return answer

    with caplog.at_level(logging.INFO):
        assert asyncio.run(story()).split()[1] == b"400"
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_what_is_no_request_is_told_once_the_level_of_the_log_is_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def wrong(port: int) -> list[str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET\r\n\r\n")
        await reader.readline()
        writer.close()
        return [record.getMessage() for record in caplog.records if record.name == "outrider.http"]

    async def story() -> None:
        async with served(Shown()) as port:
            caplog.set_level(logging.INFO, "outrider")
            assert await wrong(port) == []
            caplog.set_level(logging.DEBUG, "outrider")  # as a reload does
            assert await wrong(port) == ["Invalid HTTP request received."]

    asyncio.run(story())


def test_a_wish_for_another_protocol_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> int:
        async with served(Shown()) as port:
            return (await fetch(port, "/healthz", headers={"connection": "upgrade", "upgrade": "websocket"})).code

    assert asyncio.run(story()) == 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_defect_of_an_answer_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> int:
        node = Shown()

        async def broken() -> Overview:
            raise ValueError("a defect")

        node.cluster = broken  # type: ignore[method-assign]
        async with served(node) as port:
            return (await fetch(port, "/status")).code

    assert asyncio.run(story()) == 500
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.name == "outrider.http"
    assert told.exc_info
