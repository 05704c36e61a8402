"""All scenarios, by name."""

from __future__ import annotations

from tests.faults.authority import Certificates
from tests.faults.databases import Agents, Box
from tests.faults.history import Gathering, History, Reading
from tests.faults.scenario import Scenario
from tests.faults.small_files import Small
from tests.faults.trees import (
    Bundle,
    Container,
    Finishing,
    FinishingByRenames,
    Index,
    Renamed,
    RollingBack,
    TakingBack,
    TakingBackByRenames,
)

_ALL: tuple[type[Scenario], ...] = (
    *(Container, Renamed, Bundle, RollingBack, Index),
    *(Finishing, FinishingByRenames, TakingBack, TakingBackByRenames),
    *(History, Gathering, Reading, Box, Agents, Small, Certificates),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
