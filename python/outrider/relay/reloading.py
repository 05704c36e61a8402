"""Other settings for a node that runs (threats 48): taken as a whole or not at all, and every difference told.

Whoever reads a setting reads it from a :class:`~outrider.settings.live.Live`, so that nothing here knows who that is.
What cannot change while the node runs is named and stays as it was; no connection is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable, Sequence
from pathlib import Path
from typing import Final

from outrider.errors import SettingsError
from outrider.logs import TaskLogger
from outrider.ports import Ports
from outrider.relay.context import Context
from outrider.relay.handlers import Handlers
from outrider.settings import Live, Reloaded, Settings
from outrider.settings.reload import differences, in_force
from outrider.status import Status

_LOOK_S: Final = 1.0
"""Between two looks at the files; what is the same at two of them in a row has settled."""
_SUBJECT: Final = "settings"
"""Under which the status shows what a person ought to know."""


class Reloading:
    """See the module. ``live`` is what the node itself reads, ``shown`` the same without the cluster's keys.

    ``check`` raises a :class:`SettingsError` for settings with which this node would not start; ``then`` is what else
    is read again with them.
    """

    def __init__(
        self,
        live: Live,
        shown: Live,
        *,
        ports: Ports,
        status: Status,
        log: TaskLogger,
        check: Callable[[Settings], None],
        then: Callable[[], Awaitable[object]],
    ) -> None:
        self._live = live
        self._shown = shown
        self._ports = ports
        self._status = status
        self._log = log
        self._check = check
        self._then = then
        self._turn = asyncio.Lock()
        self._seen: Hashable = None  # what the files looked like when they were read

    def offer(self, calls: Handlers) -> None:
        """Put ``outrider.reload`` into the table of calls."""
        calls.call("outrider.reload")(self.asked)

    async def asked(self, context: Context) -> Reloaded:
        """``outrider.reload``: for programs of this machine; what is wrong with the settings is its answer, too."""
        context.only_local()
        try:
            return await self.reload()
        except SettingsError as error:
            return Reloaded(errors=tuple(str(error).splitlines()))

    async def reload(self, settings: Settings | None = None) -> Reloaded:
        """Take ``settings``, or load them again from where they came; what is in force now, and what waits.

        :class:`SettingsError` has a line for everything that is wrong; nothing has changed then.
        """
        async with self._turn:
            try:
                found = settings or await self._loaded()
                self._check(found)
            except SettingsError as error:
                self._refused(error)
                raise
            return await self._take(found)

    async def follow(self) -> None:
        """Load the settings again when their file, or the key file, has changed and is quiet, until cancelled."""
        if self._live.now.sources is None:
            return  # a host made them
        self._seen = last = await self._look()
        while True:
            await self._ports.sleep(_LOOK_S)
            found = await self._look()
            settled, last = found == last, found
            if not self._live.now.watch.settings:
                self._seen = found
            elif settled and found != self._seen:
                with contextlib.suppress(SettingsError):  # it has been told, and the next change is another try
                    await self.reload()

    async def _loaded(self) -> Settings:
        self._seen = await self._look()
        return await self._ports.threads.run(self._live.now.again)

    async def _take(self, found: Settings) -> Reloaded:
        old = self._live.now
        changes = differences(old, found)
        now = in_force(old, found)
        self._live.take(now)
        self._shown.take(now.without_secrets())
        await self._then()
        reloaded = Reloaded(
            changed=tuple(change for change in changes if change.live),
            waiting=tuple(change for change in changes if not change.live),
        )
        self._tell(reloaded)
        for warning in now.warnings:
            if warning not in old.warnings:
                self._log.warning("%s", warning)
        return reloaded

    def _tell(self, reloaded: Reloaded) -> None:
        for change in reloaded.changed:
            self._log.info("settings changed: %s", change)
        for change in reloaded.waiting:
            self._log.warning("settings changed: %s", change)
        if not reloaded.changed and not reloaded.waiting:
            self._log.info("the settings were loaded again, and are as they were")
        waiting = ", ".join(change.key for change in reloaded.waiting)
        self._status.note(_SUBJECT, f"at the next start takes effect: {waiting}" if waiting else None)

    def _refused(self, error: SettingsError) -> None:
        refused = f"not taken, those of before are in force: {'; '.join(str(error).splitlines())}"
        self._log.error("the settings were %s", refused)
        self._status.note(_SUBJECT, refused)

    async def _look(self) -> Hashable:
        """What the files look like."""
        now = self._live.now
        paths = (now.sources.path if now.sources is not None else None, now.link.key_file)
        return await self._ports.threads.run(_stamps, [path for path in paths if path is not None])


def _stamps(paths: Sequence[Path]) -> Hashable:
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
