"""What people and their tools look at: the page, health, status and metrics of one node, over HTTP. It changes nothing.

A node serves it by itself where ``http.enabled`` says so. A host that has an HTTP server of its own mounts
:func:`application` there instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from outrider.codes import Code
from outrider.errors import SettingsError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from outrider.http.listening import HttpServer
    from outrider.http.watched import Watched

__all__ = ["application", "require", "server"]

_NEEDS = ("prometheus_client", "starlette", "uvicorn")


def application(node: Watched, *, hosts: Iterable[str] | None = None) -> Starlette:
    """The ASGI application that shows ``node``, a :class:`outrider.Worker` or a :class:`outrider.Master`.

    It serves ``/``, ``/healthz``, ``/readyz``, ``/status`` and ``/metrics``, to GET and HEAD alone, and may be mounted
    below any path. ``hosts`` are the names by which it may be asked besides addresses, ``localhost`` and the node's
    own; ``None``: those of ``http.hosts``; ``["*"]``: any, for a host that looks at them itself.
    :class:`SettingsError` if a package that it needs is not installed.
    """
    require()
    from outrider.http.paths import build  # noqa: PLC0415  (its packages are an extra)

    return build(node, node.settings.http.hosts if hosts is None else tuple(hosts))


def server(node: Watched) -> HttpServer:
    """The server that ``node`` runs by itself; :meth:`require` comes first."""
    from outrider.http.listening import HttpServer  # noqa: PLC0415  (its packages are an extra)

    return HttpServer(node)


def require() -> None:
    """:class:`SettingsError` that names the remedy if a package that this needs is not installed."""
    if missing := [name for name in _NEEDS if find_spec(name) is None]:
        raise SettingsError(
            f"http.enabled: {', '.join(missing)} cannot be imported; install it with: pip install 'outrider[http]'"
        ).coded(Code.PACKAGES_MISSING)
