"""Who may be a member, in the order of the checks (specification 5.1)."""

from __future__ import annotations

import pytest

from outrider.errors import Refusal
from outrider.master.roster import Roster
from outrider.model import NodeInfo
from outrider.protocol.bodies import Hello


class Member:
    """What a roster keeps."""

    def __init__(self) -> None:
        self.info = NodeInfo(name="", type="", version="", address="")


def roster() -> Roster[Member]:
    return Roster(NodeInfo(name="master-node", type="master", version="4.9.2", address=""), "wazuh")


def info(name: str) -> NodeInfo:
    return NodeInfo(name=name, type="worker", version="4.9.2", address="192.0.2.1")


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (Hello("master-node", "other", "worker", "4.9.1"), 3029),
        (Hello("worker1", "other", "worker", "4.9.1"), 3030),
        (Hello("worker1", "wazuh", "worker", "4.9.1"), 3031),
        (Hello("worker1", "wazuh", "worker", "v4.9.2"), 3031),
    ],
)
def test_each_reason_to_refuse_has_its_code_and_they_come_in_order(hello: Hello, code: int) -> None:
    with pytest.raises(Refusal) as caught:
        roster().check(hello)
    assert caught.value.code == code


def test_a_name_belongs_to_one_member_at_a_time() -> None:
    members, first, second = roster(), Member(), Member()
    members.check(Hello("worker1", "wazuh", "worker", "4.9.2"))
    members.join(first, info("worker1"))
    with pytest.raises(Refusal) as caught:
        members.join(second, info("worker1"))
    assert (caught.value.code, caught.value.detail) == (3028, "worker1")
    assert second.info.name == ""
    members.leave(first)
    members.join(second, info("worker1"))
    members.leave(first)
    assert members.get("worker1") is second
    assert members.members() == [second]
    assert len(members) == 1
