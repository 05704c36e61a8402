"""Settings: one TOML file, ``OUTRIDER_`` variables and flags, checked as a whole and frozen.

The files of this package, from the inside out: :mod:`~outrider.settings.sections` says what there
is to set, :mod:`~outrider.settings.catalogue` lists it by dotted name,
:mod:`~outrider.settings.sources` finds values, :mod:`~outrider.settings.build` turns them into
sections, :mod:`~outrider.settings.checks` judges how they fit, and
:mod:`~outrider.settings.load` does all of it. For a node that runs, :mod:`~outrider.settings.reload` says what may
change, and :mod:`~outrider.settings.live` holds what is in force.
"""

from __future__ import annotations

from outrider.settings.files import FileRow
from outrider.settings.key import ClusterKey
from outrider.settings.live import Live
from outrider.settings.load import Described, Settings
from outrider.settings.reload import Change, Reloaded
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
    "Change",
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
    "Live",
    "Local",
    "Log",
    "MasterIntervals",
    "Node",
    "Reloaded",
    "Sendsync",
    "Settings",
    "Tree",
    "Watch",
    "WorkerIntervals",
]
