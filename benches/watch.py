"""What a process of a bench sees of itself: its event loop's lag, the memory that it adds, the CPU time it takes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

_STEP_S = 0.002


class Watch:
    """The loop's lag and the largest resident size since :meth:`begin`."""

    def __init__(self) -> None:
        self._idle_kib = 0
        self._cpu_s = 0.0
        self._lags: list[float] = []

    def begin(self) -> None:
        """From here on; what the node did before does not count."""
        self._lags.clear()
        Path("/proc/self/clear_refs").write_text("5")
        self._idle_kib, self._cpu_s = _peak_kib(), time.process_time()

    async def look(self) -> None:
        """Until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_STEP_S)
            self._lags.append(time.perf_counter() - before - _STEP_S)

    def found(self) -> dict[str, float]:
        """What was seen."""
        lags = sorted(self._lags) or [0.0]
        return {
            "lag_ms": lags[-1] * 1e3,
            "lag_p99_ms": lags[len(lags) * 99 // 100] * 1e3,
            "grown_mib": (_peak_kib() - self._idle_kib) / 1024,
            "cpu_s": time.process_time() - self._cpu_s,
        }


def _peak_kib() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])
