"""A message of agents, taken apart by a plain JSON parser."""

from __future__ import annotations

import json


def chunks_of(text: bytes, command: str) -> list[str]:
    """Its chunks; it must carry ``command``."""
    message = json.loads(text)
    assert message["set_data_command"] == command
    chunks: list[str] = message["chunks"]
    return chunks
