"""How much of a tree may go over a base link: what a person approves is one loss of one tree."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from tests.support.loop import run

from outrider.errors import HeldBackError, SyncError
from outrider.settings.sections import Generations as Terms
from outrider.worker.approval import Approval

TERMS: Final = Terms(delete_share=0.5, delete_count=20)


def hold(approval: Approval, root: str, deleted: int) -> None:
    with pytest.raises(HeldBackError), approval.most(TERMS, root, 100):
        raise HeldBackError("too much", deleted)


def most(approval: Approval, root: str, terms: Terms = TERMS) -> int | None:
    """What would be allowed, of an apply that fails for another reason."""
    with pytest.raises(SyncError), approval.most(terms, root, 100) as allowed:
        raise SyncError("no room")
    return allowed


def test_half_of_the_files_may_go_and_all_where_nobody_is_to_be_asked() -> None:
    assert most(Approval(), "r") == 50
    assert most(Approval(), "r", Terms(approve_deletions=True)) is None


def test_threat_31_what_is_approved_is_as_many_files_of_the_same_tree_once() -> None:
    approval = Approval()
    assert approval.approve() == ""
    hold(approval, "r", 80)
    assert approval.held_back == "r"
    assert most(approval, "r") == 50, "nobody has approved"
    assert approval.approve() == "r"
    assert approval.held_back == ""
    assert most(approval, "r") == 80
    assert most(approval, "s") == 50, "another tree"
    hold(approval, "r", 81)
    with approval.most(TERMS, "r", 100):
        pass
    assert (approval.held_back, most(approval, "r")) == ("", 50), "it has happened"


def test_a_pause_ends_when_somebody_approves() -> None:
    async def story() -> float:
        approval = Approval()
        hold(approval, "r", 80)
        asyncio.get_running_loop().call_later(7, approval.approve)
        await approval.rest(asyncio.sleep(300))
        await approval.rest(asyncio.sleep(30))
        return asyncio.get_running_loop().time()

    assert run(story()) == 37
