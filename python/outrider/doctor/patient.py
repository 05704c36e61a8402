"""Who is looked at: the settings, and what the node says of itself if it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import msgspec

from outrider.client import LocalClient
from outrider.errors import OutriderError, TransportError
from outrider.protocol.api import Request
from outrider.settings import Settings
from outrider.status import Snapshot

Role = Literal["worker", "master"]
_ANSWER_S = 10.0


class Patient(NamedTuple):
    """``role`` is ``None`` where neither the node nor its home tells; ``silent`` says why no node answered."""

    settings: Settings
    role: Role | None
    status: Snapshot | None
    silent: str

    @classmethod
    def meet(cls, settings: Settings, role: Role | None) -> Self:
        """Ask the node that runs on this home, if one does; ``role`` is what a person says it is."""
        try:
            client = LocalClient.of(settings, timeout_s=_ANSWER_S)
            who = client.request(Request(call="outrider.node", request_type="local_any"))
            how = client.request(Request(call="outrider.status", request_type="local_any"))
            said = msgspec.convert(who, dict[str, Any]).get("type")
            told = msgspec.convert(said, Role)
            return cls(settings, told, msgspec.convert(how, Snapshot), "")
        except TransportError as error:
            silent = str(error).partition(";")[0]
        except (OutriderError, msgspec.ValidationError) as error:
            silent = f"the node's answer is not understood: {error}"
        return cls(settings, role or _traces(settings.node.home), None, silent)

    def folders(self) -> set[Path]:
        """The folders of the files table, with all folders below them where the row is recursive."""
        found: set[Path] = set()
        for row in self.settings.tree.files:
            top = self.settings.node.home / row.folder
            if top.is_dir():
                found |= {top, *(_below(top) if row.recursive else ())}
        return found


def _below(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        with contextlib.suppress(OSError):  # unreadable: the scan reports it
            for entry in waiting.pop().iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    waiting.append(entry)
                    yield entry


def _traces(home: Path) -> Role | None:
    """What ran on this home last."""
    if (home / ".outrider/generations").is_dir():
        return "master"
    if (home / ".outrider/standing.json").is_file():
        return "worker"
    return None
