"""How many files the master may delete here over a base link before a person is asked (threats 31).

A container does not say where it leads, so what a person approves is told by where it begins: the tree of this root may
lose so many files. Whatever else happens to the tree ends that. A step of the fast path is `standpoint.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from outrider.errors import HeldBackError
from outrider.settings.sections import Generations as Terms
from outrider.supervise import until
from outrider.sync.generations import Deletions


class _Loss(Struct, frozen=True):
    root: str
    files: int


class Approval:
    """Of one worker, whichever connection brings the containers."""

    def __init__(self) -> None:
        self._held_back: _Loss | None = None
        self._approved: _Loss | None = None
        self._wanted = asyncio.Event()

    @property
    def held_back(self) -> str:
        """The root of the tree that would lose too many files; empty if no container waits."""
        return "" if self._held_back is None else self._held_back.root

    @contextmanager
    def most(self, terms: Terms, root: str, files: int) -> Iterator[int | None]:
        """Around an apply to the tree of ``root`` with so many ``files``: the most that it may delete, ``None``: all.

        :class:`HeldBackError` is noted; an apply that succeeds ends what was approved.
        """
        most = None if terms.approve_deletions else Deletions(terms.delete_share, terms.delete_count).most(files)
        if most is not None and self._approved is not None and self._approved.root == root:
            most = max(most, self._approved.files)
        try:
            yield most
        except HeldBackError as error:
            self._held_back = _Loss(root, error.deleted)
            raise
        self._held_back = self._approved = None

    def approve(self) -> str:
        """What is held back may happen, soon; the root of the tree that it happens to, empty if nothing waits."""
        root = self.held_back
        self._approved, self._held_back = self._held_back, None
        self._wanted.set()
        return root

    async def rest(self, pause: Coroutine[Any, Any, None]) -> None:
        """Until ``pause`` is over, or somebody has approved."""
        self._wanted.clear()
        await until(self._wanted, pause)
