"""Settings: one TOML file, ``OUTRIDER_`` variables and flags, checked as a whole and frozen.

The files of this package, from the inside out: :mod:`~outrider.settings.sections` says what there
is to set, :mod:`~outrider.settings.catalogue` lists it by dotted name,
:mod:`~outrider.settings.sources` finds values, :mod:`~outrider.settings.build` turns them into
sections, :mod:`~outrider.settings.checks` judges how they fit, and
:mod:`~outrider.settings.load` does all of it.
"""

from __future__ import annotations

from outrider.settings.files import FileRow
from outrider.settings.key import ClusterKey
from outrider.settings.load import Described, Settings
from outrider.settings.sections import (
    Agents,
    Ca,
    CommunicationIntervals,
    Generations,
    Grants,
    Http,
    Intervals,
    Limits,
    Link,
    Local,
    Log,
    MasterIntervals,
    Node,
    Sendsync,
    Tree,
    Watch,
    WorkerIntervals,
)

__all__ = [
    "Agents",
    "Ca",
    "ClusterKey",
    "CommunicationIntervals",
    "Described",
    "FileRow",
    "Generations",
    "Grants",
    "Http",
    "Intervals",
    "Limits",
    "Link",
    "Local",
    "Log",
    "MasterIntervals",
    "Node",
    "Sendsync",
    "Settings",
    "Tree",
    "Watch",
    "WorkerIntervals",
]
