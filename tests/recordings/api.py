"""What is the same in two answers to one API request: a recorded one and ours, which knows other times and texts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

RUNNING = ("wazuh-analysisd", "wazuh-execd", "wazuh-remoted", "wazuh-modulesd", "wazuh-db")
"""The daemons that ran beside the recorded nodes."""


def run_daemons(home: Path) -> None:
    """Pid files of the recorded daemons, with this process in place of each."""
    folder = home / "var/run"
    folder.mkdir(parents=True)
    for daemon in RUNNING:
        (folder / f"{daemon}-{os.getpid()}.pid").touch()


def meaning(answer: bytes) -> Any:
    """The class of a result and its items: agents by id, name and node, everything else as it is."""
    body = json.loads(answer)["__wazuh_result__"]
    result = body["__object__"].get("result", body["__object__"])
    items = result.get("affected_items", result.get("items"))
    if items is None or "id" not in items[0]:
        return body["__class__"], result
    return body["__class__"], [(agent["id"], agent["name"]) for agent in items if agent["id"] != "000"]
