"""Looks at a home, its machine, its node and its master, and says what is wrong and what to do about it.

It changes nothing. :func:`examine` runs every check; each is a file of its own that gives :class:`Finding` values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outrider.doctor import certificates, databases, folder, machine, reach, rounds
from outrider.doctor.finding import Finding
from outrider.doctor.patient import Patient

__all__ = ["CHECKS", "Finding", "Patient", "examine"]

Check = Callable[[Patient], Iterator[Finding]]
CHECKS: dict[str, Check] = {
    "settings": folder.settings,
    "home": folder.home,
    "node": rounds.node,
    "certificates": certificates.look,
    "disk": machine.disk,
    "watches": machine.watches,
    "port": reach.port,
    "master": reach.master,
    "databases": databases.look,
    "rounds": rounds.rounds,
}


def examine(patient: Patient, begins: Callable[[str], object] = lambda _: None) -> Iterator[Finding]:
    """Every finding, check by check; a check that cannot be made is a finding as well. It blocks.

    ``begins`` hears of each check before it is made.
    """
    for name, check in CHECKS.items():
        begins(name)
        try:
            yield from check(patient)
        except OSError as error:
            yield Finding.bad(
                name, f"this check could not be made: {error}", "run it as the user of the node, or as root"
            )
