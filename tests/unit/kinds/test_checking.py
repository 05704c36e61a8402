"""A kind that would stand in another's way is refused, with a reason that names both."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.kinds.builtin import BUILTIN
from outrider.kinds.checking import check, checked
from outrider.kinds.interface import Kind, Talk, stateless
from outrider.protocol.commands import TABLE, Command, To
from outrider.protocol.frame import NAME_BYTES

SOUND = Kind(name="clock", commands=(Command(b"clock_now", To.WORKER, "the time"),), worker=stateless(lambda _: Talk()))


def command(name: bytes, to: To = To.NODE, *, before_hello: bool = False) -> Kind:
    return replace(SOUND, commands=(Command(name, to, "a test", before_hello=before_hello),))


def test_kinds_that_share_nothing_stand_beside_each_other() -> None:
    other = replace(SOUND, name="other", commands=())
    assert checked([SOUND, other]) == (SOUND, other)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (replace(SOUND, name="Clock"), "'Clock' is no name for a kind"),
        (replace(SOUND, name="x" * 33), "is no name for a kind"),
        (replace(SOUND, name="integrity"), "the name integrity is taken"),
        (replace(SOUND, vital=True), "calls itself vital"),
        (replace(SOUND, worker=None), "has no half in either role"),
        (command(b""), "use 1 to 11 plain letters"),
        (command(b"x" * 12), "use 1 to 11 plain letters"),
        (command(b"a b"), "without spaces"),
        (command(b"\xff"), "use 1 to 11 plain letters"),
        (command(b"hello"), "claims hello, which the protocol keeps"),
        (command(b"syn_m_c"), "claims syn_m_c, a command of the kind integrity"),
        (command(b"ok-m"), "claims ok-m, which the protocol keeps"),
        (command(b"clock", To.LOCAL_SERVER), "to neither a worker nor a master"),
        (command(b"clock", To(0)), "to neither a worker nor a master"),
        (command(b"clock", before_hello=True), "to be served before hello"),
        (replace(SOUND, commands=SOUND.commands * 2), "has the command clock_now twice"),
    ],
)
def test_threat_49_what_would_harm_others_is_refused_with_its_reason(kind: Kind, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(kind)


def test_of_two_with_one_name_or_one_command_the_first_has_it() -> None:
    with pytest.raises(ValueError, match="the name clock is taken"):
        checked([SOUND, SOUND])
    with pytest.raises(ValueError, match="watch claims clock_now, a command of the kind clock"):
        checked([SOUND, replace(SOUND, name="watch")])


def test_ours_share_nothing_and_hold_only_names_of_the_protocol() -> None:
    names = [name for kind in BUILTIN for name in (command.name for command in kind.commands)]
    assert len(names) == len(set(names))
    assert set(names) <= TABLE.keys()
    assert len({kind.name for kind in BUILTIN}) == len(BUILTIN)


@given(st.binary(max_size=20))
def test_whatever_a_command_is_called_it_fits_a_frame_or_is_refused(name: bytes) -> None:
    try:
        check(command(name))
    except ValueError:
        return
    assert 0 < len(name) <= NAME_BYTES
    assert not set(name) - set(range(0x21, 0x7F))
