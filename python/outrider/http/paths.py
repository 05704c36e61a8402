"""The ASGI application: which path shows what. It asks the node, and changes nothing of it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from outrider.http.answers import Ready, health, readiness, status
from outrider.http.guard import Guard
from outrider.http.metrics import Exposition
from outrider.http.watched import Watched

_PAGE: Final = Path(__file__).with_name("page.html").read_text("utf-8")
_MOST: Final = 2**63
"""No generation has a larger number."""


def build(node: Watched, hosts: tuple[str, ...]) -> Starlette:
    """The application for one node."""
    shows = _Shows(node)
    routes = [
        Route("/", shows.page),
        Route("/healthz", shows.health),
        Route("/readyz", shows.readiness),
        Route("/status", shows.status),
        Route("/metrics", shows.metrics),
    ]
    guard = Middleware(Guard, hosts=(node.settings.node.name, *hosts))
    return Starlette(routes=routes, middleware=[guard])


class _Shows:
    """What answers each path."""

    def __init__(self, node: Watched) -> None:
        self._node = node
        self._metrics = Exposition(node)
        self._policy = policy_of(_PAGE)

    async def page(self, _: Request) -> Response:
        """``/``: one page, the same for every node; it fetches ``status`` beside it."""
        return HTMLResponse(_PAGE, headers={"content-security-policy": self._policy})

    async def health(self, _: Request) -> Response:
        """``/healthz``: whether the node does its work at all."""
        return _said(health(self._node))

    async def readiness(self, request: Request) -> Response:
        """``/readyz?generation=G``: whether the node is in step, and with which generation at least."""
        wanted = request.query_params.get("generation")
        if wanted is not None and not (wanted.isascii() and wanted.isdecimal() and int(wanted[:20]) < _MOST):
            return PlainTextResponse("generation: a number is expected, e.g. /readyz?generation=42\n", 400)
        return _said(readiness(self._node, None if wanted is None else int(wanted)))

    async def status(self, _: Request) -> Response:
        """``/status``: everything as JSON."""
        body = msgspec.json.encode(await status(self._node))
        return Response(body, media_type="application/json")

    async def metrics(self, _: Request) -> Response:
        """``/metrics``: Prometheus' text format."""
        return Response(await self._metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})


def _said(ready: Ready) -> Response:
    return PlainTextResponse("ok\n") if ready.ready else PlainTextResponse(f"{ready.reason}\n", 503)


def policy_of(page: str) -> str:
    """What the page may do: run and show what stands in it, and ask the node that it came from."""

    def named(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in found)

    return (
        f"default-src 'none'; script-src {named('script')}; style-src {named('style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
