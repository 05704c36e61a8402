"""What a program of this node may ask of the cluster, whichever the node's role: the interface of the four routes."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from outrider.exchange.pending import Pending


class Answer(Struct, frozen=True):
    """What a request came to: ``ok`` with the bytes of its result, else the plain text of ``dapi_err`` or ``err``."""

    body: bytes
    ok: bool = True


class Routes(Protocol):
    """Where requests of local clients go. ``client`` is the client's name; it is the wire's, and names no peer.

    Each method raises :class:`outrider.errors.Refusal` at once if the request cannot even set out; then what it
    returns gives the answer, never an error, and whoever gives that up ends the request.
    """

    def ask(self, client: str, request: bytes) -> Pending[Answer]:
        """``dapi``: the node that ought to answer this request does; 3023 at a worker without its master."""
        ...

    def forward(self, client: str, node: str, request: bytes) -> Pending[Answer]:
        """``dapi_fwd``, at a master: this worker answers; 3022 if it is not connected."""
        ...

    def sendsync(self, client: str, request: bytes) -> Pending[Answer]:
        """``sendsync``, at a worker: a daemon of the master answers; 3023 without a master."""
        ...

    def left(self, client: str) -> None:
        """A client is gone: what it still waits for is given up."""
        ...
