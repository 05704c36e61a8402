"""The metrics of one node, for Prometheus: read from what it records anyway, when somebody asks for them.

Names follow Prometheus' conventions: base units, ``_total`` for what only grows. Labels have few values: kinds,
results, natures of failures, settings, names of nodes of the cluster. ``docs/observing.md`` says what each means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from outrider.errors import StoreError
from outrider.http.lag import LoopLag
from outrider.http.watched import Watched
from outrider.overview import NodeView
from outrider.spread import BOUNDS_S, Spread
from outrider.status import Snapshot
from outrider.store.agents import CountsAll, Numbers

_AGENTS_FRESH_S: Final = 15.0
"""Counting agents reads all of them: so often at most, whoever asks how often."""


class Exposition:
    """The text of one node's metrics, and of its process's CPU, memory and descriptors; in no registry of anybody's.

    What the node has recorded is read on the event loop; the text, a quarter of a megabyte for a thousand workers, and
    what the system says of the process come from a thread.
    """

    def __init__(self, node: Watched) -> None:
        self._ports = node.ports
        self._node = NodeCollector(node)
        self._process = ProcessCollector(registry=None)

    async def text(self) -> bytes:
        """In Prometheus' text format."""
        await self._node.refresh()
        return await self._ports.threads.run(self._written, list(self._node.collect()))

    def _written(self, families: list[Metric]) -> bytes:
        registry = CollectorRegistry()
        registry.register(_Collected([*families, *self._process.collect()]))
        return generate_latest(registry)


class _Collected(Collector):
    """Metrics as they were at one moment."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """All of them."""
        return self._families


class NodeCollector(Collector):
    """See the module. A host may register it in a registry of its own, and collects that on the node's event loop.

    :meth:`refresh` counts agents anew; without it none are told.
    """

    def __init__(self, node: Watched) -> None:
        self._node = node
        self._lag = LoopLag()
        self._numbers: Numbers | None = None
        self._counted = float("-inf")

    async def refresh(self) -> None:
        """Count agents and groups anew, if that was long ago; a store that cannot say is left out."""
        now = self._node.ports.monotonic()
        if now - self._counted < _AGENTS_FRESH_S:
            return
        self._counted = now
        try:
            store = self._node.agents
            self._numbers = await store.numbers() if isinstance(store, CountsAll) else None
        except StoreError:
            self._numbers = None

    def describe(self) -> list[Metric]:
        """Nothing: a registry need not look at the node to know its names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything, as it is now."""
        self._lag.asked()
        snapshot = self._node.status.snapshot()
        itself, *others = self._node.look().nodes
        yield from self._itself(snapshot, itself)
        yield from self._links(snapshot)
        yield from _peers(others) if itself.type == "master" else ()
        yield from _rounds(snapshot)
        yield from self._agents()
        yield from _troubles(snapshot)
        yield from _queues(snapshot)
        yield _histogram("outrider_event_loop_lag_seconds", "How late the event loop ran a timer.", self._lag.seen)

    def _itself(self, snapshot: Snapshot, itself: NodeView) -> Iterator[Metric]:
        info, settings = self._node.get_node(), self._node.settings.node
        about = {"node": info.name, "type": info.type, "cluster": settings.cluster, "version": version("outrider")}
        family = GaugeMetricFamily("outrider_node_info", "Who this node is; always 1.", labels=list(about))
        family.add_metric(list(about.values()), 1)
        yield family
        standing = snapshot.standing
        yield _gauge("outrider_in_step", "Whether this node's tree is its master's.", itself.in_step)
        yield _gauge("outrider_generation", "Generation of this node's tree; 0: none is known.", standing.number)
        yield _gauge(
            "outrider_root_timestamp_seconds",
            "When this node's tree became what it is; its age is time() less this.",
            standing.root_since,
        )
        yield _gauge("outrider_files", "Files in this node's tree.", standing.files)
        held = snapshot.certificate
        yield _gauge(
            "outrider_certificate_expiry_timestamp_seconds",
            "Until when the authority's certificate of this node is good.",
            None if held is None else held.until,
        )

    def _links(self, snapshot: Snapshot) -> Iterator[Metric]:
        gauges = snapshot.gauges
        yield _gauge("outrider_connected_peers", "Links that stand.", gauges.get("connected_peers"))
        yield _counter("outrider_links_total", "Links that came to stand.", snapshot.links)
        received, sent = gauges.get("received", 0) + snapshot.received, gauges.get("sent", 0) + snapshot.sent
        yield _counter("outrider_link_received_bytes_total", "Bytes that came over links.", received)
        yield _counter("outrider_link_sent_bytes_total", "Bytes that went over links.", sent)
        if self._node.get_node().type != "master":
            name = "outrider_link_round_trip_seconds"
            yield _histogram(name, "From a keep-alive to its answer.", snapshot.round_trips)

    def _agents(self) -> Iterator[Metric]:
        if self._numbers is None:
            return
        agents = GaugeMetricFamily("outrider_agents", "Agents that this node knows of.", labels=["connection_status"])
        for status, number in sorted(self._numbers.agents.items()):
            agents.add_metric([status], number)
        yield agents
        yield _gauge("outrider_agent_groups", "Groups of agents.", self._numbers.groups)


def _peers(others: Iterable[NodeView]) -> Iterator[Metric]:
    """A master's: each worker."""
    connected = GaugeMetricFamily("outrider_peer_connected", "Whether the node is connected.", labels=["peer"])
    in_step = GaugeMetricFamily("outrider_peer_in_step", "Whether the node is in step.", labels=["peer"])
    generation = GaugeMetricFamily("outrider_peer_generation", "Generation of the node's tree.", labels=["peer"])
    heard = GaugeMetricFamily(
        "outrider_peer_last_heard_timestamp_seconds", "When the node was last heard of.", labels=["peer"]
    )
    for view in others:
        connected.add_metric([view.name], view.connected)
        in_step.add_metric([view.name], view.in_step)
        generation.add_metric([view.name], view.standing.number)
        heard.add_metric([view.name], view.keep_alive or 0.0)
    yield from (connected, in_step, generation, heard)


def _rounds(snapshot: Snapshot) -> Iterator[Metric]:
    by_kind = sorted(snapshot.kinds.items())
    rounds = CounterMetricFamily("outrider_syncs", "Rounds that ended.", labels=["kind", "result"])
    took = HistogramMetricFamily("outrider_sync_duration_seconds", "How long rounds took.", labels=["kind"])
    cpu = CounterMetricFamily("outrider_sync_cpu_seconds", "CPU time that rounds cost this process.", labels=["kind"])
    moved = CounterMetricFamily("outrider_sync_bytes", "Bytes that travelled for rounds.", labels=["kind"])
    saved = CounterMetricFamily("outrider_sync_saved_bytes", "Bytes that did not have to.", labels=["kind"])
    good = GaugeMetricFamily(
        "outrider_sync_last_success_timestamp_seconds", "When the last good round ended.", labels=["kind"]
    )
    for kind, seen in by_kind:
        rounds.add_metric([kind, "success"], seen.succeeded)
        rounds.add_metric([kind, "failure"], seen.failed)
        took.add_metric([kind], *_buckets(seen.took))
        cpu.add_metric([kind], seen.cpu_seconds)
        moved.add_metric([kind], seen.bytes)
        saved.add_metric([kind], seen.saved)
        if seen.last_good is not None:
            good.add_metric([kind], seen.last_good.started + seen.last_good.seconds)
    yield from (rounds, took, cpu, moved, saved, good)


def _troubles(snapshot: Snapshot) -> Iterator[Metric]:
    limits = CounterMetricFamily("outrider_limit_hits", "Limits of the settings that were hit.", labels=["limit"])
    for limit, times in sorted(snapshot.limits_hit.items()):
        limits.add_metric([limit], times)
    yield limits
    failed = CounterMetricFamily("outrider_failures", "What failed, by what mends it.", labels=["nature"])
    for nature, times in sorted(snapshot.failed.items()):
        failed.add_metric([nature], times)
    yield failed
    retrying = GaugeMetricFamily("outrider_retrying", "What is being tried again now.", labels=["nature"])
    for nature in sorted({how.nature for how in snapshot.retries.values()}):
        retrying.add_metric([nature], sum(how.nature == nature for how in snapshot.retries.values()))
    yield retrying
    events = CounterMetricFamily("outrider_events", "Other things that are counted.", labels=["event"])
    for event, times in sorted(snapshot.counters.items()):
        events.add_metric([event], times)
    yield events


def _queues(snapshot: Snapshot) -> Iterator[Metric]:
    for name, text in (
        ("requests_running", "API requests that run."),
        ("requests_waiting", "API requests that wait for their turn."),
        ("local_clients", "Programs on the local socket."),
        ("outbox_chunks", "Parts of agent information that no master has confirmed yet."),
    ):
        if name in snapshot.gauges:
            yield _gauge(f"outrider_{name}", text, snapshot.gauges[name])


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """One number; none at all where it is not known."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, seen: Spread) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], *_buckets(seen))
    return family


def _buckets(seen: Spread) -> tuple[list[tuple[str, float]], float]:
    """Each bound with what took no longer, as the text format wants it, and the sum."""
    counted, buckets = 0, []
    for bound, within in zip((*map(str, BOUNDS_S), "+Inf"), seen.within, strict=True):
        counted += within
        buckets.append((bound, float(counted)))
    return buckets, seen.seconds
