"""The metrics are what Prometheus' own parser reads, under the names of the documentation; a registry for each node."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import prometheus_client
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.support.memory_agents import MemoryAgents
from tests.support.sqlite_store import agent, with_store
from tests.support.watched import Shown, fetch, other, served

from outrider.http.metrics import NodeCollector
from outrider.spread import BOUNDS_S
from outrider.status import Certificate, Failure, Outcome, Retrying
from outrider.store.sqlite import SqliteStore

DOCS = (Path(__file__).parents[3] / "docs/observing.md").read_text("utf-8")
PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}


def scraped(node: Shown) -> dict[str, Metric]:
    async def story() -> str:
        async with served(node) as port:
            answer = await fetch(port, "/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=")
            return answer.text

    return {family.name: family for family in text_string_to_metric_families(asyncio.run(story()))}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    (found,) = [
        one.value
        for family in families.values()
        for one in family.samples
        if one.name == sample and all(one.labels.get(name) == wanted for name, wanted in labels.items())
    ]
    return float(found)


def busy(type_: str) -> Shown:
    """A node that has something to tell of everything."""
    node = Shown(type_)
    status = node.status
    status.stands(number=7, root="ab" * 64, at=500.0, files=42)
    status.in_step(500.0)
    status.connected("192.0.2.1", 10.0)
    status.carried(1000, 50)
    status.round_trip(0.002)
    good = Outcome(ok=True, started=10.0, seconds=0.03, counts={"written": 2}, cpu_seconds=0.5, bytes=100, saved=900)
    status.finished("integrity", good)
    status.finished("integrity", Outcome(ok=False, started=20.0, seconds=400.0, detail="failed", cpu_seconds=0.25))
    status.limit_hit("limits.tasks")
    status.count("calls_failed", 3)
    status.failure(Failure(name="x", reason="y", nature="permanent", at=1.0))
    status.retrying("x", Retrying(nature="permanent", failures=1, since=1.0, reason="y", next_try=None))
    status.certificate = Certificate(name="node01", serial="01", authority="02", until=9000.0)
    for gauge, number in {"connected_peers": 2, "received": 24, "sent": 6, "requests_running": 1}.items():
        status.gauge(gauge, lambda number=number: number)  # type: ignore[misc]
    for gauge in ("requests_waiting", "local_clients", "outbox_chunks"):
        status.gauge(gauge, lambda: 5)
    node.others = [other("worker1", number=6, reason="takes generation 7"), other("worker2", number=7, in_step=True)]
    return node


def test_every_number_arrives() -> None:
    seen = scraped(busy("master"))
    assert value(seen, "outrider_node_info", node="node01", type="master", cluster="wazuh") == 1
    assert value(seen, "outrider_in_step") == 1
    assert value(seen, "outrider_generation") == 7
    assert value(seen, "outrider_root_timestamp_seconds") == 500
    assert value(seen, "outrider_files") == 42
    assert value(seen, "outrider_connected_peers") == 2
    assert value(seen, "outrider_links_total") == 1
    assert value(seen, "outrider_link_received_bytes_total") == 1024
    assert value(seen, "outrider_link_sent_bytes_total") == 56
    assert value(seen, "outrider_syncs_total", kind="integrity", result="success") == 1
    assert value(seen, "outrider_syncs_total", kind="integrity", result="failure") == 1
    assert value(seen, "outrider_sync_cpu_seconds_total", kind="integrity") == 0.75
    assert value(seen, "outrider_sync_bytes_total", kind="integrity") == 100
    assert value(seen, "outrider_sync_saved_bytes_total", kind="integrity") == 900
    assert value(seen, "outrider_sync_last_success_timestamp_seconds", kind="integrity") == 10.03
    assert value(seen, "outrider_limit_hits_total", limit="limits.tasks") == 1
    assert value(seen, "outrider_failures_total", nature="permanent") == 1
    assert value(seen, "outrider_retrying", nature="permanent") == 1
    assert value(seen, "outrider_events_total", event="calls_failed") == 3
    assert value(seen, "outrider_certificate_expiry_timestamp_seconds") == 9000
    assert value(seen, "outrider_requests_waiting") == 5
    assert value(seen, "outrider_peer_in_step", peer="worker1") == 0
    assert value(seen, "outrider_peer_in_step", peer="worker2") == 1
    assert value(seen, "outrider_peer_generation", peer="worker1") == 6


def test_durations_are_a_real_histogram() -> None:
    seen = scraped(busy("master"))
    buckets = [
        (one.labels["le"], one.value)
        for one in seen["outrider_sync_duration_seconds"].samples
        if one.name.endswith("_bucket")
    ]
    assert [float(bound) for bound, _ in buckets] == [*BOUNDS_S, float("inf")]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert dict(buckets)["0.05"] == 1
    assert dict(buckets)["300.0"] == 1
    assert value(seen, "outrider_sync_duration_seconds_count", kind="integrity") == 2
    assert value(seen, "outrider_sync_duration_seconds_sum", kind="integrity") == 400.03


def test_round_trips_are_a_worker_s() -> None:
    assert value(scraped(busy("worker")), "outrider_link_round_trip_seconds_count") == 1
    assert "outrider_link_round_trip_seconds" not in scraped(busy("master"))


def test_what_is_not_known_is_not_made_up() -> None:
    seen = scraped(Shown())
    for name in ("outrider_root_timestamp_seconds", "outrider_files", "outrider_certificate_expiry_timestamp_seconds"):
        assert seen[name].samples == []
    assert "outrider_agents" not in seen


def test_agents_and_groups_are_counted_by_a_store_that_can(tmp_path: Path) -> None:
    async def story(store: SqliteStore) -> dict[str, Metric]:
        node = busy("master")
        await store.put([agent(1), agent(2), agent(3, connection_status="disconnected")])
        await store.add_groups(["web", "db"])
        node.store = store
        async with served(node) as port:
            text = (await fetch(port, "/metrics")).text
        return {family.name: family for family in text_string_to_metric_families(text)}

    seen = with_store(tmp_path, story)
    assert value(seen, "outrider_agents", connection_status="active") == 2
    assert value(seen, "outrider_agents", connection_status="disconnected") == 1
    assert value(seen, "outrider_agent_groups") == 2


def test_a_store_that_cannot_count_is_left_out() -> None:
    node = busy("master")
    node.store = MemoryAgents()
    assert "outrider_agents" not in scraped(node)


def test_two_nodes_of_one_process_have_a_registry_each() -> None:
    before = {family.name for family in prometheus_client.REGISTRY.collect()}

    async def story() -> None:
        async with served(busy("master")) as one, served(Shown("worker")) as two:
            for port, type_ in ((one, "master"), (two, "worker"), (one, "master")):
                assert f'type="{type_}"' in (await fetch(port, "/metrics")).text

    asyncio.run(story())
    assert {family.name for family in prometheus_client.REGISTRY.collect()} == before


def test_hostile_names_stay_labels() -> None:
    node = busy("master")
    node.others = [other('a"b\\c\nd')]
    seen = scraped(node)
    assert value(seen, "outrider_peer_connected", peer='a"b\\c\nd') == 1


def names(families: dict[str, Metric]) -> set[str]:
    """As people ask for them: counters with their ending, histograms without."""
    return {name + "_total" if family.type == "counter" else name for name, family in families.items()}


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `((?:outrider|process)_[a-z_]+)`(?: `\{([a-z_, ]+)\}`)? \|", DOCS, re.MULTILINE)
    return dict(rows)


def test_the_documentation_names_every_metric_and_no_other(tmp_path: Path) -> None:
    seen: dict[str, Metric] = {}

    async def story(store: SqliteStore) -> None:
        await store.put([agent(1)])
        for type_ in ("master", "worker"):
            node = busy(type_)
            node.store = store
            async with served(node) as port:
                text = (await fetch(port, "/metrics")).text
            seen.update({family.name: family for family in text_string_to_metric_families(text)})

    with_store(tmp_path, story)
    assert names(seen) == set(documented())
    assert names(seen) >= PROCESS
    for name, family in seen.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told = documented()[name + "_total" if family.type == "counter" else name]
        assert labels == set(re.findall(r"[a-z_]+", told)), name


def test_a_host_may_collect_in_a_registry_of_its_own() -> None:
    registry = prometheus_client.CollectorRegistry()
    registry.register(NodeCollector(busy("master")))
    text = prometheus_client.generate_latest(registry).decode()  # without a loop: from some thread
    assert "outrider_generation 7.0" in text
    assert "outrider_event_loop_lag_seconds_count 0.0" in text
