"""Packages as an installer leaves them: modules and metadata in a folder that Python imports from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import invalidate_caches
from pathlib import Path

import pytest


class SitePackages:
    """See the module. Names of modules begin with ``orp_``, so that none of an earlier test is found in their place."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        patch.syspath_prepend(str(folder))
        for module in [name for name in sys.modules if name.startswith("orp_")]:
            patch.delitem(sys.modules, module)

    def install(self, package: str, module: str, points: Mapping[str, str], version: str = "1.0") -> None:
        """Install ``package`` with one module, ``orp_<package>``; ``points`` are group and ``name = object``."""
        (self._folder / f"orp_{package}.py").write_text(module)
        metadata = self._folder / f"{package}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [f"[{group}]\n{point.replace('= ', f'= orp_{package}:')}\n" for group, point in points.items()]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        invalidate_caches()
