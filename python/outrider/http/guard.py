"""What every request meets first, and what every answer carries: whom it was meant for, GET and HEAD alone, no caching.

A page elsewhere that a browser of this machine shows may have its own name point here (DNS rebinding), and would then
read what it gets. It cannot make the browser name this node, though: requests for other names are refused. An address
cannot be pointed anywhere, so that any may be named.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""What an answer that is no page may load: nothing at all."""


class Guard:
    """See the module; ``hosts`` are names besides addresses and ``localhost``, ``*`` among them any."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in ("localhost", *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":  # there is nothing else here
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("content-security-policy", _NOTHING)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, answer)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("only GET and HEAD here\n", 405, {"allow": "GET, HEAD"})
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or not self._ours(named[0]):
            return PlainTextResponse(
                "this node is asked for under a name that is none of its own; its settings know more: http.hosts\n", 421
            )
        return None

    def _ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        if not name or not port.isdecimal():
            name = host
        if "*" in self._hosts or name.lower().rstrip(".") in self._hosts:
            return True
        try:
            ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True
