"""Requests that were meant for somebody else, or that would change something, come no further."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.watched import Shown, fetch, served

from outrider.http import application


def ask(path: str = "/healthz", host: str = "127.0.0.1:1517", method: str = "GET", **settings: Any) -> int:
    async def story() -> int:
        async with served(Shown(**settings)) as port:
            return (await fetch(port, path, method=method, headers={"host": host})).code

    return asyncio.run(story())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:1517", "localhost", "LOCALHOST:80", "[::1]:1517", "[::1]", "192.0.2.7:1", "node01."],
)
def test_addresses_localhost_and_the_node_s_name_are_its_own(host: str) -> None:
    assert ask(host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:1517", "localhost.evil.example", "127.0.0.1.nip.io", "", "[evil]", "1.2.3:4:5"],
)
def test_a_name_that_somebody_points_here_is_refused(host: str) -> None:
    assert ask(host=host) == 421
    assert ask("/", host=host) == 421


def test_names_of_the_settings_are_taken_and_no_others() -> None:
    assert ask(host="w1.example.org", hosts=["w1.example.org"]) == 200
    assert ask(host="w2.example.org", hosts=["w1.example.org"]) == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(method: str) -> None:
    assert ask(method=method) == 405


def test_head_is_allowed() -> None:
    assert ask(method="HEAD") == 200


def test_every_answer_forbids_what_it_does_not_need() -> None:
    async def story() -> None:
        async with served(Shown()) as port:
            for path in ("/", "/healthz", "/readyz", "/status", "/metrics", "/nothing"):
                headers = (await fetch(port, path)).headers
                assert headers["cache-control"] == "no-store"
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["x-frame-options"] == "DENY"
                assert "default-src 'none'" in headers["content-security-policy"]
                assert "frame-ancestors 'none'" in headers["content-security-policy"]
                assert "unsafe" not in headers["content-security-policy"]
                assert "access-control-allow-origin" not in headers
                assert "server" not in headers

    asyncio.run(story())


def test_a_host_that_looks_at_names_itself_says_so() -> None:
    async def ask_app(hosts: list[str]) -> int:
        sent: list[dict[str, object]] = []
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/healthz",
            "headers": [(b"host", b"app.example")],
        }
        scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}

        async def receive() -> dict[str, object]:
            return {"type": "http.request"}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        await application(Shown(), hosts=hosts)(scope, receive, send)  # type: ignore[arg-type]
        code = sent[0]["status"]
        assert isinstance(code, int)
        return code

    assert asyncio.run(ask_app(["*"])) == 200
    assert asyncio.run(ask_app([])) == 421
