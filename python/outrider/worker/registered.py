"""A worker learns which agents exist from its ``etc/client.keys``, which comes with the other files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from outrider.kinds.interface import Half, LinkGround, NodeGround, Talk, Task
from outrider.logs import Tag, task_logger
from outrider.printable import counted
from outrider.store.client_keys import CLIENT_KEYS, Stamp, read_client_keys, stamp
from outrider.supervise import within

_LOOK_S = 10
"""A look is one stat. So often the file may also have been changed by another hand than ours."""


class RegisteredAgents(Half[Talk]):
    """Looks at the file at the start, after each apply, and now and then; reads it when it has changed."""

    def __init__(self, ground: NodeGround) -> None:
        super().__init__()
        self._agents = ground.agents
        self._path = ground.settings.node.home / CLIENT_KEYS
        self._threads = ground.ports.threads
        self._log = task_logger(Tag.AGENT_REGISTRATION, ground.node.name)
        self._changed = asyncio.Event()
        self._known: Stamp | None = None
        ground.applied.connect(self.look_now)

    def talk(self, link: LinkGround) -> Talk:
        """Nothing is said of this: the file comes with the others."""
        del link
        return Talk()

    def tasks(self) -> Sequence[Task]:
        """Looks."""
        return [(Tag.AGENT_REGISTRATION, self.run)]

    def look_now(self) -> None:
        """The file may have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Look until cancelled; an error of the file or the store ends it, and whoever runs it tries again."""
        while True:
            self._changed.clear()
            await self.look()
            await within(_LOOK_S, self._changed.wait())

    async def look(self) -> None:
        """Register the agents of the file if it has changed since they last were."""
        found = await self._threads.run(stamp, self._path)
        if found is None or found == self._known:
            return
        keys = await self._threads.run(read_client_keys, self._path)
        await self._agents.register(keys.agents)
        self._known = found
        self._log.info("registered %s of %s", counted(len(keys.agents), "agent"), CLIENT_KEYS)
        if keys.unread:
            lines, first = counted(len(keys.unread), "line"), keys.unread[0]
            self._log.warning("%s of %s not as ID NAME IP KEY, the first is line %d", lines, CLIENT_KEYS, first)
