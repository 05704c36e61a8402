"""The table of commands: each once, each fits its field."""

from __future__ import annotations

from outrider.protocol import commands
from outrider.protocol.commands import RESPONSES, TABLE, Command, To
from outrider.protocol.frame import NAME_BYTES


def test_every_constant_is_in_the_table_under_its_wire_name() -> None:
    constants = [value for value in vars(commands).values() if isinstance(value, Command)]
    assert len(constants) == len(TABLE)
    assert all(TABLE[command.name] is command for command in constants)


def test_every_name_fits_and_none_is_an_answers() -> None:
    for command in TABLE.values():
        assert 0 < len(command.name) <= NAME_BYTES
        assert b" " not in command.name
        assert command.name not in RESPONSES
        assert command.to & To.ANY
        assert command.purpose
    assert str(commands.INTEGRITY_SYNC) == "syn_m_c"


def test_threat_20_only_echo_hello_and_the_two_of_joining_come_before_hello() -> None:
    early = {command.name for command in TABLE.values() if command.before_hello}
    assert early == {b"echo", b"hello", b"ca_show", b"ca_join"}
