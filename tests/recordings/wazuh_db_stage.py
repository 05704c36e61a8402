"""A store on a real socket whose wazuh-db expects one recorded exchange at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.wazuh_db import WazuhDbDaemon
from tests.support.wazuh_db_clients import client_of, store_of

GROUPS_GET, GROUPS_SET = "global sync-agent-groups-get ", "global set-agent-groups "


class Stage:
    """See the module; ``wrong`` holds the requests that were not the expected one."""

    def __init__(self, folder: Path) -> None:
        self.daemon = WazuhDbDaemon(folder / "wdb", self._answer)
        self.client = client_of(self.daemon)
        self.store = store_of(self.client)
        self._expected: bytes | None = None
        self._frames: Sequence[bytes] = ()
        self._further: Callable[[bytes], bytes] | None = None
        self.wrong: list[bytes] = []

    def expect(self, request: bytes, frames: Sequence[bytes], further: Callable[[bytes], bytes] | None = None) -> None:
        self._expected, self._frames, self._further = request, frames, further

    def check(self) -> None:
        """The request came, and no other."""
        assert self._expected is None
        assert self.wrong == []

    async def _answer(self, request: bytes) -> Sequence[bytes]:
        if self._expected is not None:
            if meaning(request) != meaning(self._expected):
                self.wrong.append(request)
            self._expected = None
            return self._frames
        if self._further is None:
            self.wrong.append(request)
            return [b"err not in the recording"]
        return [self._further(request)]


def meaning(request: bytes) -> tuple[str, Any]:
    """A request with its JSON as a value, what may be left out of it filled in; another is only itself."""
    text = request.decode(errors="backslashreplace")
    actor, _, rest = text.partition(" ")
    command, _, argument = rest.partition(" ")
    try:
        value = json.loads(argument)
    except ValueError:
        return text, None
    if f"{actor} {command} " == GROUPS_GET and isinstance(value, dict):
        value = {"last_id": 0, "set_synced": False, "get_global_hash": False, **value}
    if f"{actor} {command} " == GROUPS_SET and isinstance(value, dict):
        value = {"sync_status": "synced", **value}
    return f"{actor} {command}", value
