"""What may change while a node runs, and what a change comes to. Settings in, settings out; nothing is applied here.

Every key of the catalogue is live unless :data:`AT_START` names it, or its section, with the reason. A new key is
therefore live, and whoever reads it must read it when it is needed (:mod:`outrider.settings.live`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from outrider.printable import printable
from outrider.settings.build import make_section
from outrider.settings.catalogue import CATALOGUE, SECTIONS
from outrider.settings.key import HIDDEN
from outrider.settings.load import Described, Settings

AT_START: Final[Mapping[str, str]] = {
    "node": "who a node is, and where, is what its peers and its home know it by",
    "link.port": "links stand on it, and the master's door is bound to it",
    "link.bind_addr": "the master's door is bound to it",
    "link.key_file": "the file whose content is followed",
    "link.key_credential": "systemd hands credentials to a process when it starts",
    "link.require": "what both ends of a link have agreed on",
    "link.tls": "what both ends of a link have agreed on",
    "ca": "the authority is opened at the start",
    "intervals.master.agent_group_start_delay": "it is over soon after the start",
    "tree.files": "the files table decides what a tree is: its generations, the index and the watch are made with it",
    "tree.excluded_files": "a part of the files table",
    "tree.excluded_extensions": "a part of the files table",
    "tree.follow_links": "a part of the files table",
    "agents": "the store of agents is opened at the start",
    "http": "its port is bound at the start",
    "local": "the local socket is bound at the start",
    "kinds": "kinds of synchronisation read their options when they are made",
}
"""Keys, and whole sections, that take effect at the next start, each with the reason."""

SHOWN: Final = 200
"""Characters of a value that a line tells."""
_NOT_SET: Final = "not set"


class Change(Struct, frozen=True, kw_only=True):
    """One key whose value is another: both as text for people, secrets hidden. ``live``: in force at once."""

    key: str
    old: str
    new: str
    live: bool

    def __str__(self) -> str:
        """A line for the log."""
        return f"{self.key}: {self.old} -> {self.new}" + ("" if self.live else " (takes effect at the next start)")


class Reloaded(Struct, frozen=True, kw_only=True):
    """What came of loading the settings again: what is in force now, and what waits for the next start.

    ``errors``: what is wrong with them; then nothing has changed.
    """

    changed: tuple[Change, ...] = ()
    waiting: tuple[Change, ...] = ()
    errors: tuple[str, ...] = ()


def why_at_start(key: str) -> str | None:
    """Why a key takes effect at the next start only; ``None``: it is live."""
    parts = key.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next((AT_START[name] for name in names if name in AT_START), None)


def differences(old: Settings, new: Settings) -> list[Change]:
    """Every key whose value is another, in the order of the catalogue, then those of kinds."""
    before, after = old.values(), new.values()
    return [
        Change(
            key=key,
            old=_text(old.described(key, before.get(key))),
            new=_text(new.described(key, after.get(key))),
            live=why_at_start(key) is None,
        )
        for key in [*CATALOGUE, *sorted({*before, *after} - CATALOGUE.keys())]
        if before.get(key) != after.get(key)
    ]


def in_force(old: Settings, new: Settings) -> Settings:
    """The settings of a node that runs with ``old`` and is told ``new``: what is live is new, the rest is as it was."""
    kept = {key: value for key, value in old.values().items() if why_at_start(key) is not None}
    values = {**new.values(), **kept}
    sections: dict[str, Any] = {name: make_section(name, section, values) for name, section in SECTIONS.items()}
    origins = {key: one for key, one in new.origins.items() if why_at_start(key) is None}
    origins |= {key: one for key, one in old.origins.items() if why_at_start(key) is not None}
    return Settings(**sections, kinds=old.kinds, origins=origins, warnings=new.warnings, sources=new.sources)


def _text(line: Described) -> str:
    if line.value in (None, []):
        return _NOT_SET
    if line.hidden:
        return HIDDEN
    text = printable(msgspec.json.encode(line.value).decode())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
