"""What both roles are built of: keys, plugins, settings that may change, a home, a store of agents.

What a node does with them is its role's story (:mod:`outrider.worker.node`, :mod:`outrider.master.node`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from outrider import http
from outrider.codes import Code
from outrider.errors import SettingsError, StoreError
from outrider.exchange.keys import Keys
from outrider.hooks import Hooks
from outrider.kinds.checking import checked
from outrider.kinds.interface import Kind
from outrider.lifespan import Lifespan
from outrider.logs import Tag, task_logger
from outrider.model import NodeInfo
from outrider.plugins import load_plugins
from outrider.ports import Ports
from outrider.relay.reloading import Reloading
from outrider.relay.routes import Routes
from outrider.settings import Settings
from outrider.store.agents import AgentStore
from outrider.store.choice import agents_of
from outrider.store.home import Home
from outrider.store.tree import FileTree, inhabited
from outrider.supervise import until


class Node(Lifespan):
    """A node of either role. :class:`SettingsError` if the settings do not allow a start."""

    _requests: Routes | None = None  # while it runs

    def __init__(
        self,
        settings: Settings,
        ports: Ports | None,
        hooks: Hooks | None,
        *,
        agents: AgentStore | None,
        kinds: Iterable[Kind],
    ) -> None:
        super().__init__(settings, ports, hooks)
        self._plugins = load_plugins(checked(kinds))
        self._check(settings)
        self._keys = Keys(self._current, self._ports.threads)
        self._home = Home(settings.node.home)
        self._own_agents = agents
        self._agents: AgentStore | None = None
        self._log = task_logger(Tag.CLUSTER, settings.node.name)
        self._reloading = Reloading(
            self._current,
            self._shown,
            ports=self._ports,
            status=self.status,
            log=self._log,
            check=self._check,
            then=self._keys.read_again,
        )
        self._reloading.offer(self._plugins.calls)
        if settings.http.enabled:
            http.require()

    @abstractmethod
    def get_node(self) -> NodeInfo:
        """Who this node is."""

    @property
    def agents(self) -> AgentStore:
        """What this node knows of agents and their groups; :class:`StoreError` unless it runs."""
        if self._agents is None:
            raise StoreError("this node does not run, so that its store of agents is closed").coded(Code.NOT_RUNNING)
        return self._agents

    @property
    def ports(self) -> Ports:
        """What this node takes from the world."""
        return self._ports

    @property
    def running(self) -> bool:
        """Whether this node has started, and nobody has asked it to stop."""
        return self._requests is not None and not self._stopping.is_set()

    @property
    def routes(self) -> Routes:
        """Where requests of programs beside this node go; :class:`StoreError` unless it runs."""
        if self._requests is None:
            raise StoreError("this node does not run, so that it takes no requests").coded(Code.NOT_RUNNING)
        return self._requests

    async def run(self) -> None:
        """Open the home, mend what a crash left, then live as the role does, until :meth:`stop`."""
        threads = self._ports.threads
        try:
            async with (
                self._alive(),
                inhabited(self._home, self._current, threads, self.status.limit_hit) as tree,
                agents_of(self._current, self._ports, self._plugins.stores, self._own_agents) as self._agents,
                self._events,
            ):
                await until(self._stopping, self._mended(tree))
        finally:
            self._agents = None

    async def _mended(self, tree: FileTree) -> None:
        if mended := await tree.recover():
            self._log.warning("an apply that was cut short has been %s", mended)
        await self._live(tree)

    @abstractmethod
    async def _live(self, tree: FileTree) -> None:
        """Until cancelled; peers are told before their connections close."""

    def _check(self, settings: Settings) -> None:
        """Raise a :class:`SettingsError` if no node of this role can run with these."""
        if settings.link.lacks_key:
            raise SettingsError(
                f"link.key: a {self.get_node().type} needs the cluster key; make one with: outrider keygen"
            ).coded(Code.NO_KEY)
        self._plugins.check(settings)
