"""What each path answers, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.support.watched import Answer, Shown, fetch, other, served

import outrider.http
from outrider.errors import SettingsError
from outrider.http import application
from outrider.master import Master
from outrider.settings import Settings
from outrider.status import Failure, Outcome
from outrider.worker import Worker

PAGE = Path(outrider.http.__file__).with_name("page.html").read_text("utf-8")


def ask(node: Shown, path: str) -> Answer:
    async def story() -> Answer:
        async with served(node) as port:
            return await fetch(port, path)

    return asyncio.run(story())


def in_step(number: int) -> Shown:
    node = Shown()
    node.status.stands(number=number, root="ab" * 64, at=100.0, files=3)
    node.status.in_step(100.0)
    return node


def test_a_node_that_runs_lives() -> None:
    node = Shown()
    assert (ask(node, "/healthz").code, ask(node, "/healthz").text) == (200, "ok\n")
    node.running = False
    assert (ask(node, "/healthz").code, ask(node, "/healthz").text) == (503, "this node does not run\n")


def test_readiness_names_what_is_missing() -> None:
    node = Shown()
    assert (ask(node, "/readyz").code, ask(node, "/readyz").text) == (503, "no round has ended yet\n")
    worker = Shown("worker")
    worker.status.disconnected("the peer closed the connection", 1.0)
    assert ask(worker, "/readyz").text == "the peer closed the connection\n"


@pytest.mark.parametrize(("wanted", "code"), [("1", 200), ("7", 200), ("8", 503), ("99999999999999", 503)])
def test_a_generation_may_be_asked_for(wanted: str, code: int) -> None:
    answer = ask(in_step(7), f"/readyz?generation={wanted}")
    assert answer.code == code
    if code != 200:
        assert answer.text == f"this node stands at generation 7, not yet at {wanted}\n"


def test_on_a_link_without_generations_none_is_reached() -> None:
    assert ask(in_step(0), "/readyz").code == 200
    assert ask(in_step(0), "/readyz?generation=1").text == "no generation is known on this link, not yet at 1\n"


@pytest.mark.parametrize("wanted", ["", "x", "-1", "1.5", "%D9%A1", "9" * 400])
def test_what_is_no_generation_is_said_to_be_none(wanted: str) -> None:
    assert ask(in_step(7), f"/readyz?generation={wanted}").code == 400


def test_status_is_json_with_everything() -> None:
    node = in_step(7)
    node.others = [other("worker1", number=6, in_step=False, since=50.0, reason="takes generation 7")]
    node.status.finished("integrity", Outcome(ok=True, started=1.0, seconds=0.5, counts={"written": 2}, bytes=10))
    node.status.failure(Failure(name="a round", reason="no room; make room", nature="permanent", at=5.0))
    node.status.failure(Failure(name="another", reason="no network", nature="temporary", at=6.0))
    answer = ask(node, "/status")
    assert answer.headers["content-type"] == "application/json"
    told = json.loads(answer.text)
    assert told["ready"] is True
    assert told["node"] == {"name": "node01", "type": "master", "cluster": "wazuh", "version": "4.9.2"}
    assert [(one["name"], one["in_step"], one["reason"]) for one in told["cluster"]["nodes"]] == [
        ("node01", True, ""),
        ("worker1", False, "takes generation 7"),
    ]
    assert [(one["node"], one["seconds"], one["bytes"]) for one in told["cluster"]["syncs"]] == [("node01", 0.5, 10)]
    assert [(one["cause"], one["remedy"]) for one in told["cluster"]["failures"]] == [
        ("no network", "Nothing: it is tried again by itself."),
        ("no room", "make room"),
    ]
    assert told["status"]["kinds"]["integrity"]["succeeded"] == 1


def test_the_page_stands_alone_and_may_run_only_what_stands_in_it() -> None:
    answer = ask(Shown(), "/")
    assert answer.text == PAGE
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert not re.search(
        r"""(src|href)=["'](https?:)?//|url\(|@import|style=|\son\w+=|innerHTML|insertAdjacent""", PAGE
    )


def test_a_host_mounts_it_below_any_path() -> None:
    async def story() -> None:
        node = in_step(3)
        app = Starlette(routes=[Mount("/below", app=application(node, hosts=["*"]))])
        sent: list[dict[str, object]] = []
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/below/readyz",
            "headers": [(b"host", b"x.example")],
        }
        scope |= {"query_string": b"generation=3", "root_path": "", "http_version": "1.1", "scheme": "http"}

        async def receive() -> dict[str, object]:
            return {"type": "http.request"}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        await app(scope, receive, send)  # type: ignore[arg-type]
        assert sent[0]["status"] == 200

    asyncio.run(story())


def test_a_node_that_does_not_run_yet_can_be_asked_as_well(tmp_path: Path) -> None:
    settings = {"node.home": str(tmp_path), "link.key": "0123456789abcdefghijklmnopqrstuv", "link.nodes": ["127.0.0.1"]}

    async def story() -> None:
        for kind in (Master, Worker):
            node = kind(Settings.from_mapping({**settings, "http.port": 0}))
            async with served(node) as port:
                assert (await fetch(port, "/healthz")).code == 503
                assert (await fetch(port, "/readyz")).text == "this node does not run\n"
                told = json.loads((await fetch(port, "/status")).text)
                assert [one["in_step"] for one in told["cluster"]["nodes"]] == [False]
                assert "outrider_in_step 0.0" in (await fetch(port, "/metrics")).text

    asyncio.run(story())


def test_without_its_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("uvicorn")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr(outrider.http, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name))
    with pytest.raises(SettingsError, match=r"uvicorn cannot be imported; .* pip install 'outrider\[http\]'"):
        application(Shown())
