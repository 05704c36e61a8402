"""The settings and the home: may the node work there, and what did an accident leave."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial

from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient
from outrider.errors import SettingsError, StoreError
from outrider.settings.key_file import open_folder
from outrider.store.peers import Peers
from outrider.store.rotation import read_rotation
from outrider.store.standing import Standing
from outrider.world import real_ports

_SET_ASIDE = {
    ".outrider/journal.damaged": "an apply whose journal the disk had damaged was set aside",
    ".outrider/outbox.db.damaged": "an outbox that could not be read was set aside; all agents were sent again",
}


def settings(patient: Patient) -> Iterator[Finding]:
    """What the settings say of themselves."""
    for warning in patient.settings.warnings:
        yield Finding.warning("settings", warning, "docs/settings.md describes each key")
    try:
        patient.settings.require(patient.role or "worker")
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding.bad("settings", line, "mend it, then try `outrider config check`")
    else:
        yield Finding.good("settings", f"a {patient.role or 'worker'} can start with them")


def home(patient: Patient) -> Iterator[Finding]:
    """Whether this user may work in the home, and whether others may in what is the node's own."""
    folder = patient.settings.node.home
    if not folder.is_dir():
        yield Finding.bad("home", f"{folder} is no folder", "make it, or name another with --home or node.home")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding.bad("home", f"this user may not work in {folder}", "run as its owner, or change owner and mode")
        return
    found = [*_own_folder(patient), *_memory(patient), *_left(patient)]
    yield from found or [Finding.good("home", f"{folder} belongs to this node")]


def _own_folder(patient: Patient) -> Iterator[Finding]:
    own = patient.settings.node.home / ".outrider"
    if not own.is_dir():
        return
    if own.stat().st_mode & stat.S_IWOTH:
        yield Finding.bad("home", f"everybody may write in {own}", f"chmod o-w {own}")
    if way := open_folder(own):
        yield Finding.bad("home", f"every user may put another in the place of {own}", f"chmod o-w {way}")
    foreign = [entry for entry in own.iterdir() if entry.stat(follow_symlinks=False).st_uid != own.stat().st_uid]
    if foreign:
        yield Finding.warning(
            "home",
            f"{foreign[0]} has another owner than {own}: a command ran here as another user",
            f"chown -R --reference={own} {own}",
        )


def _memory(patient: Patient) -> Iterator[Finding]:
    """The small files that the node itself reads."""
    folder = patient.settings.node.home
    reads: tuple[Callable[[], object], ...] = (Peers(folder).all, partial(read_rotation, folder))
    for read in reads:
        try:
            read()
        except StoreError as error:
            yield Finding.bad("home", str(error), "look at the disk (dmesg, smartctl), then do as it says")
    standing = Standing(folder, real_ports().threads)
    asyncio.run(standing.open())
    if standing.damaged:
        yield Finding.warning(
            "home",
            f"which generation this node took last cannot be read: {standing.damaged}",
            "look at the disk (dmesg, smartctl); the node writes it anew when it takes the next",
        )


def _left(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.node.home
    for name, what in _SET_ASIDE.items():
        if (file := folder / name).exists():
            yield Finding.warning("home", f"{what}: {file}", "look at the disk (dmesg, smartctl), then remove the file")
    if patient.status is None and (folder / ".outrider/journal").exists():
        yield Finding.warning(
            "home", "an apply was cut short", "start the node: it finishes or undoes it before anything else"
        )
