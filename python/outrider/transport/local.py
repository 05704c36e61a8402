"""Streams to programs of this machine, over unix sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from outrider.errors import TransportError

_DIAL_TIMEOUT_S = 20


class LocalSockets:
    """The part of :class:`outrider.ports.Network` that reaches programs beside this one."""

    async def dial_local(self, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseProtocol:
        """Connect to the unix socket at ``path``."""
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                _, protocol = await asyncio.get_running_loop().create_unix_connection(factory, str(path))
        except TimeoutError:
            raise TransportError(f"no answer within {_DIAL_TIMEOUT_S} s") from None
        except OSError as error:
            # A path that is too long for the system has no number, only words.
            raise TransportError(str(error) if error.errno is None else os.strerror(error.errno)) from error
        return protocol
