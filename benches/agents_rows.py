"""Agents as real ones are, for benches."""

from __future__ import annotations

from collections.abc import Iterator

from outrider.model import AgentInfo, Label


def make_agents(count: int) -> Iterator[AgentInfo]:
    """As real ones are: 590 bytes of JSON each."""
    for number in range(1, count + 1):
        yield AgentInfo(
            id=number,
            name=f"host-{number:06}.branch-{number % 97:02}.example.com",
            connection_status="active",
            ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            os_name="Debian GNU/Linux",
            os_version="12",
            os_major="12",
            os_codename="bookworm",
            os_platform="debian",
            os_uname=f"Linux |host-{number:06} |6.1.0-18-amd64 |#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 |x86_64",
            os_arch="x86_64",
            version="Wazuh v4.9.2",
            config_sum="ab73af41699f13fdd81903b5f23d8d00",
            merged_sum="4a8724b20dee0124ff9656783c490c4e",
            manager_host="worker",
            node_name="worker",
            last_keepalive=1_700_000_000 + number,
            disconnection_time=0,
            group_config_status="synced",
            status_code=0,
            labels=(Label(number, "site", f"branch-{number % 97}"),) if number % 4 == 0 else None,
        )
