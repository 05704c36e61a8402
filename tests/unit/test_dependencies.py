"""What comes with Outrider into a Python environment: few packages, each under a licence that allows it."""

from __future__ import annotations

import re
from importlib import metadata

ALLOWED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0"}
CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
WORDS = {"BSD": "BSD-3-Clause", "BSD-3-Clause": "BSD-3-Clause"}
"""What stands in the field of packages that name no classifier."""
REQUIRED = {"click", "cryptography", "msgspec", "rich", "zstandard"}


EXTRAS = ("dask", "http", "metrics")
"""What an installation may bring besides; ``dev`` and ``docs`` come to no node."""


def needed(name: str, extra: str = "") -> set[str]:
    """The packages that one needs here, with one extra or without: what another system asks for is none."""
    found = set()
    for requirement in metadata.requires(name) or ():
        wanted, _, marker = requirement.partition(";")
        installed = re.match(r"[\w.-]+", wanted)
        assert installed
        if "extra" in marker and not (extra and re.search(rf"extra == ['\"]{extra}['\"]", marker)):
            continue
        try:
            metadata.distribution(installed[0])
        except metadata.PackageNotFoundError:
            assert marker, f"{name} needs {wanted}, which is not installed"
            continue
        found.add(installed[0].lower())
    return found


def licences(name: str) -> list[set[str]]:
    """Of each of these any may be chosen."""
    about = metadata.metadata(name)
    if "License-Expression" in about:
        return [set(part.strip("()").split(" OR ")) for part in about["License-Expression"].split(" AND ")]
    named = {CLASSIFIERS.get(line, line) for line in about.get_all("Classifier") or () if line.startswith("License ::")}
    return [named or {WORDS.get(about["License"], "none that it names")}]


def test_five_packages_are_required_and_no_more() -> None:
    assert needed("outrider") == REQUIRED


def test_everything_that_comes_with_them_has_a_licence_that_allows_it() -> None:
    everything, new = set[str](), REQUIRED.union(*(needed("outrider", extra) for extra in EXTRAS))
    assert new > REQUIRED | {"distributed", "starlette", "uvicorn"}
    while new:
        everything |= new
        new = {other for name in new for other in needed(name)} - everything
    assert len(everything) >= len(REQUIRED)
    for name in sorted(everything):
        assert all(one & ALLOWED for one in licences(name)), f"{name} is under {licences(name)}"
