"""Named sets of defaults; what a person sets explicitly wins over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # The values that 4.9.2 ships (specification 1.7), and its way with links (4.4).
    "wazuh-4.9": {
        "intervals.worker.sync_integrity": 9,
        "intervals.worker.sync_agent_info": 10,
        "intervals.worker.timeout_agent_groups": 40,
        "intervals.worker.keep_alive": 60,
        "intervals.worker.connection_retry": 10,
        "intervals.worker.max_failed_keepalive_attempts": 2,
        "intervals.worker.agent_groups_mismatch_limit": 5,
        "tree.follow_links": True,
        # What its nodes read must not end behind the header of a frame (1.5): each part of a file waits for an answer.
        "link.window": 1,
        # The daemons that its sendsync reaches (5.10).
        "sendsync.authd": "queue/sockets/auth",
        "sendsync.task_manager": "queue/tasks/task",
        "sendsync.remoted": "queue/sockets/remote",
        "sendsync.wazuh_db": "queue/db/wdb",
    },
}
