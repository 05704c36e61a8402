"""Which daemons run on this machine, as their pid files below a home say."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

DAEMONS: Final = (
    "wazuh-agentlessd",
    "wazuh-analysisd",
    "wazuh-authd",
    "wazuh-csyslogd",
    "wazuh-dbd",
    "wazuh-monitord",
    "wazuh-execd",
    "wazuh-integratord",
    "wazuh-logcollector",
    "wazuh-maild",
    "wazuh-remoted",
    "wazuh-reportd",
    "wazuh-syscheckd",
    CLUSTER := "wazuh-clusterd",
    "wazuh-modulesd",
    "wazuh-db",
    "wazuh-apid",
)
"""The daemons of the original, in its order. The one of the cluster is this process."""

_PID_FILE: Final = re.compile(r"(wazuh-[a-z]+)-([1-9]\d{0,9})\.pid", re.ASCII)


def daemon_states(home: Path) -> dict[str, str]:
    """``running`` or ``stopped`` for each daemon; one runs if a pid file of it names a living process."""
    running = {CLUSTER}
    try:
        names = [file.name for file in (home / "var" / "run").iterdir()]
    except OSError:
        names = []
    for name in names:
        if (match := _PID_FILE.fullmatch(name)) and _lives(int(match[2])):
            running.add(match[1])
    return {daemon: "running" if daemon in running else "stopped" for daemon in DAEMONS}


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
