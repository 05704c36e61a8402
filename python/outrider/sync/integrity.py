"""How a round of integrity ends at a worker (specification 5.3). Pure."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """How a round ended."""

    IN_STEP = "in step"
    SYNCED = "synchronised"
    BUSY = "not permitted yet"
    FAILED = "failed"
